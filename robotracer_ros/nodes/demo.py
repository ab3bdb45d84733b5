# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""``robotracer demo``: the whole pipeline on the simulated workcell, watched and judged.

Simulator, perception, planner and viewer run as processes of their own and talk over DDS, as they
would on a robot. The instruction goes in as an action goal, success comes out of the simulator's
ground truth.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from numpy.typing import NDArray
from PIL import Image
from rclpy.executors import MultiThreadedExecutor
from rich.console import Console
from rich.status import Status

from robotracer_msgs.action import ExecuteInstruction
from robotracer_ros.bench.figures import json_safe
from robotracer_ros.bench.judge import Verdict, bottom_centre, judge
from robotracer_ros.data.task import Task
from robotracer_ros.data.tasks import simple_task
from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.geometry.transforms import apply
from robotracer_ros.nodes.compose import Composition
from robotracer_ros.nodes.demo_client import DemoClient, poses_of
from robotracer_ros.nodes.graph import bringup
from robotracer_ros.nodes.instruction_client import Progress
from robotracer_ros.nodes.qos import make_qos
from robotracer_ros.nodes.recorder import Recorder
from robotracer_ros.nodes.runner import apply_transport_profile
from robotracer_ros.planning.base import Phase
from robotracer_ros.sim.contacts import is_beyond
from robotracer_ros.sim.render import Renderer
from robotracer_ros.sim.scenes import generate_scene
from robotracer_ros.sim.spec import Scene
from robotracer_ros.viz.animation import save_animation
from robotracer_ros.viz.overlay import draw_trace
from robotracer_ros.viz.picture import save_picture

START_TIMEOUT_S = 120.0
RUN_TIMEOUT_S = 240.0
#: after the last motion things may still roll or tip; then the truth is taken
SETTLE_S = 1.0
FRAME_RATE_HZ = 5.0
#: Here one small machine simulates, renders, sees and plans at once. A robot has its own clock and
#: keeps the strict defaults; a simulated arm that is checked late hurts nobody.
PATIENCE = {'recheck.max_gap_s': 1.0, 'depth.max_age_s': 3.0, 'robot.max_state_age_s': 1.5}
CAMERA = {'camera.rate_hz': 6.0}
RECORDED = {
    '/camera/color/image_raw': 'sensor_msgs/msg/Image',
    '/camera/aligned_depth_to_color/image_raw': 'sensor_msgs/msg/Image',
    '/camera/color/camera_info': 'sensor_msgs/msg/CameraInfo',
    '/joint_states': 'sensor_msgs/msg/JointState',
    '/tf': 'tf2_msgs/msg/TFMessage',
    '/tf_static': 'tf2_msgs/msg/TFMessage',
    '/perception/trace': 'robotracer_msgs/msg/Trace',
    '/perception/markers': 'visualization_msgs/msg/MarkerArray',
    '/planner/markers': 'visualization_msgs/msg/MarkerArray',
    '/scaled_joint_trajectory_controller/joint_trajectory': 'trajectory_msgs/msg/JointTrajectory',
    '/gripper_controller/joint_trajectory': 'trajectory_msgs/msg/JointTrajectory',
    '/diagnostics': 'diagnostic_msgs/msg/DiagnosticArray',
}


@dataclass(frozen=True)
class DemoOptions:
    """What the command line says; see ``robotracer demo --help``."""

    seed: int = 7
    instruction: str | None = None
    headless: bool = False
    out: Path = Path('out')
    record: Path | None = None
    port: int = 8080
    keep: bool = False


@dataclass
class _Run:
    """What one run gathered; contacts and verdict stay None while nobody knows what was intended."""

    phases: dict[str, float] = field(default_factory=dict)
    carried: list[NDArray[np.float64]] = field(default_factory=list)
    result: ExecuteInstruction.Result | None = None
    verdict: Verdict | None = None
    contacts: list[dict[str, Any]] | None = None
    startup_s: float = 0.0
    problem: str = ''

    @property
    def success(self) -> bool | None:
        """Whether the task was done; None when it ended well and nobody judged it."""
        if self.problem:
            return False
        return self.verdict.success if self.verdict is not None else None


def run_demo(options: DemoOptions) -> int:
    """Run the demo; return 0 when the task was done, 1 when not."""
    console = Console(highlight=False)
    scene = generate_scene(options.seed)
    task = None
    if options.instruction is None:
        task = simple_task(scene, Renderer().render(scene))
        if task is None:
            raise InvalidParameterError(
                f'seed {scene.seed}: no task fits this scene; take another or give --instruction'
            )
    instruction = options.instruction or (task.instruction if task else '')
    console.print(f'[bold]robotracer demo[/], seed {options.seed}: [italic]"{instruction}"[/]')
    options.out.mkdir(parents=True, exist_ok=True)
    apply_transport_profile()
    addresses: list[str] = []

    def listen(node: str, line: str) -> None:
        if node == 'viewer' and (found := re.search(r'viewer at (\S+)', line)):
            addresses.append(found[1])

    parameters: dict[str, dict[str, Any]] = {'planner': dict(PATIENCE), 'sim': dict(CAMERA)}
    if task is not None:
        parameters['sim'] |= {
            'watch.moved': task.moved,
            'watch.goal': ['table', *task.references],
        }
    if not options.headless:
        parameters['viewer'] = {'port': options.port}
    arguments = {
        'sim': 'true',
        'seed': str(options.seed),
        'viewer': 'false' if options.headless else 'true',
    }
    composition = Composition(
        bringup(arguments, parameters), output=listen, log_folder=options.out / 'log'
    )
    run = _Run()
    rclpy.init()
    try:
        composition.start()
        with console.status('starting the nodes') as status:
            _operate(
                options, composition, console, status, scene, task, instruction, run, addresses
            )
        if options.keep and not options.headless:
            console.print('Staying up: type instructions in the viewer, Ctrl-C ends.')
            composition.wait()
    finally:
        rclpy.try_shutdown()
        composition.stop()
    return 1 if run.success is False else 0


def _operate(
    options: DemoOptions,
    composition: Composition,
    console: Console,
    status: Status,
    scene: Scene,
    task: Task | None,
    instruction: str,
    run: _Run,
    addresses: list[str],
) -> None:
    """Wait for the nodes, run the instruction, judge, and write the files."""
    narrator = _Narrator(console, status, run)
    client = DemoClient(narrator.show, FRAME_RATE_HZ)
    recorder = None
    if options.record is not None:
        # The camera's pose is sent once, before a late subscriber is there: only latched is it heard.
        latched = make_qos('reliable', 'transient_local', depth=10)
        recorder = Recorder(client, options.record, RECORDED, {'/tf_static': latched})
    executor = MultiThreadedExecutor(3)
    executor.add_node(client)
    spinner = threading.Thread(target=executor.spin, name='demo-spin')
    spinner.start()
    try:
        begin = time.monotonic()
        run.problem = _wait_until_ready(client, composition, status, options)
        run.startup_s = time.monotonic() - begin
        if not run.problem:
            console.print(f'  nodes ready after {run.startup_s:.1f} s')
            if addresses:
                stays = '' if options.keep else ', which closes when the run has ended'
                console.print(f'  watch at [bold]{addresses[-1]}[/]{stays}')
            before = _scene_now(scene, client.fresh_truth(10.0))
            client.recording = True
            narrator.begin()
            client.instructions.send(instruction)
            run.problem = _wait_for_end(client, composition, before, task, run)
            narrator.end()
            run.result = client.instructions.result
            time.sleep(SETTLE_S)
            client.recording = False
            _judge(client, before, task, run)
        _write(options, scene, task, instruction, client, run)
    finally:
        executor.shutdown()
        spinner.join(10.0)
        if recorder is not None:
            recorder.close()
        client.destroy_node()
    _conclude(console, options, run)


def _wait_until_ready(
    client: DemoClient, composition: Composition, status: Status, options: DemoOptions
) -> str:
    deadline = time.monotonic() + START_TIMEOUT_S
    while waiting := client.missing():
        if ended := composition.ended():
            name = next(iter(ended))
            return f'the {name} node ended with exit code {ended[name]}: see {options.out}/log/{name}.log'
        if time.monotonic() > deadline:
            complaints = '; '.join(f'{k}: {v}' for k, v in client.complaints.items())
            return f'not ready after {START_TIMEOUT_S:.0f} s: {", ".join(waiting)}. {complaints}'
        status.update(f'waiting for {waiting[0]}')
        time.sleep(0.2)
    return ''


def _wait_for_end(
    client: DemoClient, composition: Composition, before: Scene, task: Task | None, run: _Run
) -> str:
    """Wait for the result and collect the carried object's path; return what went wrong."""
    deadline = time.monotonic() + RUN_TIMEOUT_S
    while not client.instructions.wait(0.1):
        if ended := composition.ended():
            return f'the {next(iter(ended))} node ended while the instruction was carried out'
        if time.monotonic() > deadline:
            client.instructions.cancel()
            return f'not done after {RUN_TIMEOUT_S:.0f} s: cancelled'
        if task is not None and (poses := client.truth_poses()):
            run.carried.append(bottom_centre(before, task.moved, poses[task.moved]))
    result = client.instructions.result
    if result is None:
        return 'the planner node rejected the goal'
    return '' if client.instructions.succeeded else result.error_msg


def _scene_now(scene: Scene, truth: dict[str, Any]) -> Scene:
    return scene.with_poses(poses_of(truth))


def _judge(client: DemoClient, before: Scene, task: Task | None, run: _Run) -> None:
    if task is None:  # without a task every touch of the arm is recorded, its grasp too
        return
    truth = client.fresh_truth(10.0)
    run.contacts = truth['unintended_contacts']
    verdict = judge(task, before, poses_of(truth), np.array(run.carried or np.zeros((0, 3))))
    run.verdict = charge(verdict, run.contacts)


def charge(verdict: Verdict, contacts: Sequence[Mapping[str, Any]]) -> Verdict:
    """Return a verdict that unintended contacts beyond the limits turn into a failure.

    Args:
        verdict: Of the task alone.
        contacts: As in the simulator's ground truth, hardest first.
    """
    beyond = [c for c in contacts if is_beyond(c['force_n'], c['penetration_m'])]
    if not verdict.success or not beyond:
        return verdict
    return replace(
        verdict, success=False, reason=f'unintended contact: {_describe_contact(beyond[0])}'
    )


def _describe_contact(contact: Mapping[str, Any]) -> str:
    return (
        f'{" and ".join(contact["bodies"])}, {contact["force_n"]:.1f} N, '
        f'{1000 * contact["penetration_m"]:.1f} mm'
    )


def _write(
    options: DemoOptions,
    scene: Scene,
    task: Task | None,
    instruction: str,
    client: DemoClient,
    run: _Run,
) -> None:
    """Leave result.json and the pictures."""
    result, trace = run.result, client.trace
    if trace is not None and client.trace_image is not None:
        Image.fromarray(draw_trace(client.trace_image, trace)).save(options.out / 'overlay.png')
    if trace is not None and client.trace_image is not None and client.trace_depth is not None:
        points = trace.camera.depth_to_points(client.trace_depth).reshape(-1, 3)
        lifted = apply(scene.world_from_camera, trace.xyz)
        corrected, tool = lifted.copy(), None
        if result is not None:
            for c in result.corrections:
                corrected[c.waypoint] += (c.offset.x, c.offset.y, c.offset.z)
            positions = [(p.position.x, p.position.y, p.position.z) for p in result.tool_path.poses]
            tool = np.array(positions) if positions else None
        save_picture(
            options.out / 'scene.png',
            apply(scene.world_from_camera, points),
            client.trace_image.reshape(-1, 3),
            lifted,
            corrected,
            tool,
            title=f'"{instruction}"',
        )
    if client.frames:
        # As fast again as it was: the arm is slow by design.
        save_animation(options.out / 'run.gif', client.frames, fps=2 * FRAME_RATE_HZ)
    report = _report(options, task, instruction, client, run)
    (options.out / 'result.json').write_text(json.dumps(report, indent=2) + '\n', encoding='utf-8')


def _report(
    options: DemoOptions, task: Task | None, instruction: str, client: DemoClient, run: _Run
) -> dict[str, Any]:
    result, trace = run.result, client.trace
    report: dict[str, Any] = {
        'success': run.success,
        'seed': options.seed,
        'instruction': instruction,
        'executed': bool(result is not None and not run.problem),
        'problem': run.problem,
        'error_code': result.error_code if result is not None else None,
        'verdict': asdict(run.verdict) if run.verdict else None,
        'unintended_contacts': run.contacts,
        'startup_s': run.startup_s,
        'phase_s': run.phases,
    }
    if task is not None:
        report['task'] = {
            'primitive': task.primitive,
            'relation': task.relation,
            'moved': task.moved,
            'references': task.references,
        }
    if trace is not None:
        report['trace'] = {
            'model': trace.model,
            'points': trace.points.tolist(),
            'text': trace.raw_text,
            'inference_s': trace.inference_time_s,
            'metric_scale': trace.metric_scale,
        }
    if result is not None:
        figures = result.figures
        report['plan'] = {
            'planning_s': figures.planning_time_s,
            'stages_s': dict(zip(figures.stage_names, figures.stage_times_s, strict=True)),
            'duration_s': figures.duration_s,
            'min_clearance_m': figures.min_clearance_m,
            'max_tcp_speed_m_s': figures.max_tcp_speed,
            'trace_deviation_m': figures.trace_deviation_m,
            'tracking_error_rms_rad': figures.tracking_error_rms,
            'tracking_error_max_rad': figures.tracking_error_max,
            'execution_s': figures.execution_time_s,
            'recheck_rate_hz': figures.recheck_rate,
            'recheck_max_gap_s': figures.recheck_max_gap,
            'corrections': [
                {'waypoint': c.waypoint, 'kind': c.kind, 'reason': c.reason}
                for c in result.corrections
            ],
        }
    return json_safe(report)


def _conclude(console: Console, options: DemoOptions, run: _Run) -> None:
    if run.problem:
        console.print(f'  [bold red]failed[/]: {run.problem}')
    elif run.verdict is None:
        console.print('  [bold]done[/]; nobody judged your own instruction: look at the pictures')
    elif run.verdict.success:
        console.print("  [bold green]success[/]: judged from the simulator's ground truth")
    else:
        console.print(f'  [bold red]missed[/]: {run.verdict.reason}')
    for contact in run.contacts or ():
        console.print(f'  unintended contact: {_describe_contact(contact)}')
    console.print(f'  pictures and result.json in {options.out}')
    if not options.headless and not options.keep:
        console.print('  the viewer closes now: --keep leaves it open and takes further instructions')


class _Narrator:
    """Prints each phase when it ends, with its time; a spinner shows the one under way."""

    def __init__(self, console: Console, status: Status, run: _Run) -> None:
        self._console, self._status, self._run = console, status, run
        self._phase: Phase | None = None
        self._since = 0.0

    def begin(self) -> None:
        """Start with the tracer's phase."""
        self._phase, self._since = Phase.TRACING, time.monotonic()
        self._status.update('tracing')

    def show(self, progress: Progress) -> None:
        """Take a feedback."""
        if progress.phase is not self._phase:
            self.end()
            self._phase, self._since = progress.phase, time.monotonic()
        self._status.update(f'{progress.phase.name.lower()}  {100 * progress.progress:.0f} %')

    def end(self) -> None:
        """Close the present phase."""
        if self._phase is None:
            return
        name, seconds = self._phase.name.lower(), time.monotonic() - self._since
        self._run.phases[name] = self._run.phases.get(name, 0.0) + seconds
        self._console.print(f'  {name:<9} {seconds:6.2f} s')
        self._phase = None
