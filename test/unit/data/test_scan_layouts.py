# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0

import json
import os
import pickle
from functools import cache

import numpy as np
import pytest
from handmade import thing
from scan_layouts import (
    annotated,
    ca1m_frame,
    ca1m_world,
    embodiedscan_infos,
    png,
    sens,
    write_embodiedscan,
    write_folder,
    write_scannet,
    write_tar,
)

from robotracer_ros.data.files import DatasetFileError
from robotracer_ros.data.scans import ca1m, embodiedscan, scannet
from robotracer_ros.data.scans.ca1m import Ca1mScan
from robotracer_ros.data.scans.embodiedscan import EmbodiedScanScan
from robotracer_ros.data.scans.generate import find_scans, open_scan, read_labels
from robotracer_ros.data.scans.mesh import read_vertices, upright_box
from robotracer_ros.data.scans.scannet import ScanNetScan
from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.transforms import apply, invert, look_at, rotation_about
from robotracer_ros.sim.render import Renderer
from robotracer_ros.sim.spec import HOME_Q, Scene

_CORNERS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])


@cache
def shot():
    """A small scene and its picture: 128x96 depth."""
    things = (
        thing('mug', 'red', 0.45, -0.12, yaw=0.5),
        thing('box', 'blue', 0.5, 0.12, yaw=-0.3),
        thing('flower pot', 'brown', 0.62, 0.0),
    )
    scene = Scene(
        5,
        things,
        CameraModel(128, 96, 135.0, 135.0, 63.5, 47.5),
        look_at((1.25, 0.05, 0.7), (0.48, 0.0, 0.05)),
        np.array(HOME_Q),
    )
    return scene, Renderer().render(scene)


def members():
    scene, picture = shot()
    return {**ca1m_frame(scene, picture), **ca1m_world(scene)}


def as_ca1m(tmp_path):
    return open_scan('ca1m', find_scans('ca1m', write_tar(tmp_path / 'ca1m-val-42898570.tar', members()))[0])


def as_folder(tmp_path):
    return open_scan('ca1m', find_scans('ca1m', write_folder(tmp_path, members()))[0])


def as_scannet(tmp_path):
    scene, picture = shot()
    write_scannet(tmp_path, scene, [picture, picture], lost=(1,))
    return open_scan('scannet', find_scans('scannet', tmp_path)[0])


def as_embodiedscan(tmp_path):
    write_embodiedscan(tmp_path, *shot())
    found = find_scans('embodiedscan', tmp_path)
    assert len(found) == 1  # the other source is left out
    return open_scan('embodiedscan', found[0])


@pytest.mark.parametrize('layout', [as_ca1m, as_folder, as_scannet, as_embodiedscan])
def test_every_layout_gives_the_same_frame(layout, tmp_path):
    scene, picture = shot()
    scan = layout(tmp_path)
    frame = scan.read(scan.names[0])
    assert frame.scan == scan.id
    assert frame.image.shape == (96, 128, 3)
    lossy = 12 if layout in (as_scannet, as_embodiedscan) else 0
    assert np.abs(frame.image.astype(int) - picture.rgb).mean() <= lossy
    np.testing.assert_allclose(frame.depth, picture.depth, atol=6e-4)
    np.testing.assert_allclose(frame.camera.matrix, scene.camera.matrix, atol=1e-4)
    assert not frame.dropped
    # The world has the camera where the simulated one has it over the ground, whatever its heading.
    turn = scene.world_from_camera @ invert(frame.world_from_camera)
    np.testing.assert_allclose(turn[2, :3], [0, 0, 1], atol=1e-5)
    np.testing.assert_allclose(turn[:3, :3] @ turn[:3, :3].T, np.eye(3), atol=1e-5)
    # Every box has the corners, the upright axis and the name that it has.
    truth = annotated(scene)
    assert len(frame.boxes) == len(truth)
    for (_, label, pose, sides), box in zip(truth, frame.boxes, strict=True):
        assert box.label == label.replace('_', ' ')
        assert box.pose[2, 2] > 0.999
        assert box.extents[2] == pytest.approx(sides[2], abs=1e-5)
        assert sorted(box.extents[:2]) == pytest.approx(sorted(sides[:2]), abs=1e-5)
        assert np.linalg.det(box.pose[:3, :3]) == pytest.approx(1.0)
        want = apply(pose, _CORNERS * sides)
        have = apply(turn @ box.pose, _CORNERS * box.extents)
        assert max(np.linalg.norm(want - c, axis=1).min() for c in have) < 1e-4


def test_frames_without_a_pose_are_left_out(tmp_path):
    scan = as_scannet(tmp_path)
    assert scan.names == ['0', '1']
    assert scan.read('1') is None
    infos = embodiedscan_infos(shot()[0])
    infos['data_list'][0]['images'][0]['cam2global'] = np.full((4, 4), -np.inf)
    file = write_embodiedscan(tmp_path, *shot(), infos)
    assert EmbodiedScanScan(file, 'scannet/scene0042_00').read('00000') is None


def test_boxes_that_are_none_are_dropped_and_told(tmp_path):
    found = members()
    name = '42898570/1000.wide/instances.json'
    items = json.loads(found[name])
    items[1]['position'][2] = float('nan')
    items[2]['scale'][0] = 0.0
    found[name] = json.dumps(items).encode()
    scan = Ca1mScan(write_tar(tmp_path / 'ca1m-val-42898570.tar', found))
    frame = scan.read('1000')
    assert frame.dropped == (items[1]['id'], items[2]['id'])
    assert len(frame.boxes) == len(items) - 2


def test_names_come_from_the_caption_or_a_file_where_classes_say_nothing(tmp_path):
    found = members()
    for name in ('42898570/1000.wide/instances.json', '42898570/world.gt/instances.json'):
        items = json.loads(found[name])
        for item in items:
            item['category'] = 'object'
        if 'world' in name:
            items[1]['caption'] = 'A tea cup.'
            items[2]['caption'] = 'A carton that somebody has left on the table in front of the window.'
        found[name] = json.dumps(items).encode()
    path = write_tar(tmp_path / 'ca1m-val-42898570.tar', found)
    keys = [a[0] for a in annotated(shot()[0])]
    file = tmp_path / 'labels.json'
    file.write_text(json.dumps({'42898570': {keys[3]: 'clay pot'}}))
    boxes = Ca1mScan(path, read_labels(file)).read('1000').boxes
    assert [b.label for b in boxes[1:]] == ['tea cup', '', 'clay pot']
    del found['42898570/world.gt/instances.json']
    path = write_tar(tmp_path / 'ca1m-val-42898570.tar', found)
    assert {b.label for b in Ca1mScan(path).read('1000').boxes} == {''}


def changed(name, value):
    def change(found):
        found[name] = value
        return found

    return change


def instance(field, value):
    def change(found):
        name = f'{V}.wide/instances.json'
        items = json.loads(found[name])
        if value is None:
            del items[2][field]
        else:
            items[2][field] = value
        found[name] = json.dumps(items).encode()
        return found

    return change


V = '42898570/1000'
BROKEN_CA1M = {
    'no depth': (lambda f: {k: v for k, v in f.items() if 'gt/depth.png' not in k}, 'gt/depth.png', 'is missing'),
    'no intrinsics': (
        lambda f: {k: v for k, v in f.items() if 'wide/image/K' not in k},
        'wide/image/K.json',
        'is missing',
    ),
    'cut image': (lambda f: {**f, f'{V}.wide/image.png': f[f'{V}.wide/image.png'][:200]}, 'image.png', 'as an image'),
    'no image': (changed(f'{V}.gt/depth.png', b'hello'), 'gt/depth.png', 'as an image'),
    'depth in bytes': (changed(f'{V}.gt/depth.png', png(np.zeros((96, 128), np.uint8))), 'gt/depth.png', 'type L'),
    'another size': (
        changed(f'{V}._gt/depth/size', b'[512, 384]'),
        '_gt/depth/size',
        '(512, 384), but the image has 128x96',
    ),
    'size in words': (changed(f'{V}._wide/image/size', b'large'), '_wide/image/size', "'large'"),
    'no JSON': (changed(f'{V}.gt/depth/K.json', b'[[1, 2'), 'gt/depth/K.json', 'as JSON'),
    'intrinsics of 4': (changed(f'{V}.gt/depth/K.json', b'[1, 2, 3, 4]'), 'gt/depth/K.json', '(4,)'),
    'no focal length': (
        changed(f'{V}.gt/depth/K.json', b'[[0, 0, 64], [0, 135, 48], [0, 0, 1]]'),
        'gt/depth/K.json',
        'focal lengths 0, 135',
    ),
    'intrinsics of another size': (
        changed(f'{V}.gt/depth/K.json', b'[[30, 0, 63.5], [0, 30, 47.5], [0, 0, 1]]'),
        'image.png',
        'do not belong together',
    ),
    'gravity is no rotation': (
        changed(f'{V}.wide/T_gravity.json', b'[[2, 0, 0], [0, 1, 0], [0, 0, 1]]'),
        'T_gravity.json',
        'it holds 2',
    ),
    'gravity of another picture': (
        changed(f'{V}.wide/T_gravity.json', b'[[1, 0, 0], [0, 1, 0], [0, 0, 1]]'),
        'T_gravity.json',
        'leans by',
    ),
    'instances are no list': (changed(f'{V}.wide/instances.json', b'{}'), 'wide/instances.json', 'is a dict'),
    'an instance is none': (changed(f'{V}.wide/instances.json', b'[7]'), 'instances.json', 'stands in a int'),
    'no position': (instance('position', None), 'position', 'is missing'),
    'two sides': (instance('scale', [1, 2]), 'instances.json[2].scale', '(2,)'),
    'words for a rotation': (instance('R', 'turned'), 'instances.json[2].R', "'turned'"),
}  # fmt: skip


@pytest.mark.parametrize('case', BROKEN_CA1M)
def test_broken_ca1m_is_named(case, tmp_path):
    change, field, value = BROKEN_CA1M[case]
    path = write_tar(tmp_path / 'ca1m-val-42898570.tar', change(members()))
    with pytest.raises(DatasetFileError) as caught:
        Ca1mScan(path).read('1000')
    for part in ('ca1m-val-42898570.tar', field, value):
        assert part in str(caught.value)


def test_broken_tar_files_are_named(tmp_path):
    path = write_tar(tmp_path / 'ca1m-val-42898570.tar', members())
    whole = path.read_bytes()
    for data in (b'hello' * 200, whole[:512], whole[:6000], whole[: len(whole) * 2 // 3]):
        path.write_bytes(data)
        with pytest.raises(DatasetFileError, match=r'cannot be read as a tar file|is missing'):
            Ca1mScan(path).read('1000')
    write_tar(path, {'42898570/world.gt/instances.json': b'[]'})
    with pytest.raises(DatasetFileError, match='no frame is there'):
        Ca1mScan(path)
    with pytest.raises(DatasetFileError, match='neither'):
        find_scans('ca1m', write_folder(tmp_path / 'empty', {'a.txt': b''}))
    with pytest.raises(InvalidParameterError, match='does not exist'):
        find_scans('ca1m', tmp_path / 'nowhere')
    with pytest.raises(InvalidParameterError, match='must be one of ca1m'):
        find_scans('kitti', tmp_path)


def test_broken_sensor_streams_are_named(tmp_path):
    scene, picture = shot()
    folder = write_scannet(tmp_path, scene, [picture])
    path = folder / 'scene0042_00.sens'
    whole = path.read_bytes()
    nowhere = bytearray(whole)
    at = 12 + len(b'StructureSensor')
    nowhere[at : at + 4] = np.float32('nan').tobytes()
    cases = {
        'focal length': (bytes(nowhere), 'intrinsic_color: holds [[nan'),
        'version 3': (sens(scene, [picture], version=3), 'version: 3: must be 4'),
        'raw colour': (sens(scene, [picture], color=(0, 1)), 'color compression: 0'),
        'raw depth': (sens(scene, [picture], color=(2, 0)), 'depth compression: 0'),
        'size of depth': (sens(scene, [picture], sizes=(256, 192, 64, 48)), 'frame 0 depth: has more than 6144 bytes'),
        'size of colour': (sens(scene, [picture], sizes=(64, 48, 128, 96)), 'the header says'),
        'no shift': (sens(scene, [picture], shift=0.0), 'depth shift: 0'),
        'frames': (sens(scene, [picture], frames=2), 'frame 1: is cut off'),
        'huge': (sens(scene, [picture], frames=1 << 60), 'number of frames'),
        'header': (whole[:100], 'is cut off'),
        'end': (whole[:-9], 'frame 0: is cut off'),
        'depth': (whole[:-50] + bytes(50), 'frame 0 depth: cannot be unpacked'),
    }  # fmt: skip
    for data, problem in cases.values():
        path.write_bytes(data)
        with pytest.raises(DatasetFileError) as caught:
            ScanNetScan(folder).read('0')
        assert problem in str(caught.value)
        assert 'scene0042_00.sens' in str(caught.value)


def test_broken_scannet_annotations_are_named(tmp_path):
    folder = write_scannet(tmp_path, shot()[0], [shot()[1]])

    def fails(name, data, problem):
        path = folder / f'scene0042_00{name}'
        before = path.read_bytes()
        path.write_bytes(data) if data is not None else path.unlink()
        with pytest.raises(DatasetFileError) as caught:
            ScanNetScan(folder).read('0')
        path.write_bytes(before)
        assert problem in str(caught.value)
        assert path.name in str(caught.value)

    mesh = (folder / 'scene0042_00_vh_clean_2.ply').read_bytes()
    fails('_vh_clean_2.ply', None, 'cannot be read')
    fails('_vh_clean_2.ply', b'solid', 'no PLY header')
    fails('_vh_clean_2.ply', mesh[:400], 'vertex: is cut off')
    fails('_vh_clean_2.ply', mesh.replace(b'float x', b'float q'), 'x, y and z must be there')
    fails('_vh_clean_2.ply', mesh.replace(b'float x', b'quad x'), "type 'quad'")
    fails('_vh_clean_2.ply', mesh.replace(b'float x', b'float y'), 'each must be there once')
    fails('_vh_clean_2.ply', mesh.replace(b'vertex 35', b'vertex ab'), "'ab' is no number")
    begin = mesh.index(b'end_header\n') + len(b'end_header\n')
    nan = np.float32('nan').tobytes()
    fails('_vh_clean_2.ply', mesh[:begin] + nan + mesh[begin + 4 :], 'vertex 0: is at [nan')
    fails('_vh_clean_2.0.010000.segs.json', b'{}', 'segIndices: is missing')
    fails('_vh_clean_2.0.010000.segs.json', b'{"segIndices": [1, 2]}', 'has shape (2,): the mesh has 35')
    fails('.aggregation.json', b'{', 'cannot be read as JSON')
    fails('.aggregation.json', b'{"segGroups": [{"objectId": 1, "label": "cup"}]}', 'segments')
    group = b'{"segGroups": [{"objectId": 1, "label": "cup", "segments": [5]}]}'
    fails('.aggregation.json', group, "'cup', has no vertex")
    assert ScanNetScan(folder).read('0') is not None
    with pytest.raises(DatasetFileError, match=r'no folder with a \.sens'):
        scannet.find(tmp_path / 'scans' / 'scene0042_00' / 'nothing')


def test_broken_embodiedscan_is_named(tmp_path):
    scene, picture = shot()
    root = tmp_path / 'data'
    file = write_embodiedscan(root, scene, picture)

    def fails(change, *parts):
        infos = embodiedscan_infos(scene)
        change(infos, infos['data_list'][0])
        file.write_bytes(pickle.dumps(infos))
        embodiedscan._annotations.cache_clear()
        with pytest.raises(DatasetFileError) as caught:
            open_scan('embodiedscan', find_scans('embodiedscan', root)[0]).read('00000')
        for part in parts:
            assert part in str(caught.value)

    fails(lambda a, s: a.pop('metainfo'), 'embodiedscan_infos_val.pkl', 'metainfo', 'is missing')
    fails(lambda a, s: s.pop('axis_align_matrix'), 'scene0042_00', 'axis_align_matrix', 'is missing')
    fails(lambda a, s: s.update(cam2img=np.eye(3)), 'cam2img', '(3, 3)', '(4, 4)')
    fails(lambda a, s: s['instances'][1].update(bbox_3d=[0] * 7), 'instances.1.bbox_3d', '(7,)')
    fails(lambda a, s: s['instances'][1].update(bbox_label_3d=99), 'instances.1.bbox_label_3d', '99')
    fails(lambda a, s: s['images'][0].update(cam2global=2 * np.eye(4)), 'images.0.cam2global', 'no rotation')
    fails(lambda a, s: s['images'][0].update(depth_path='gone.png'), 'gone.png', 'cannot be read')
    embodiedscan._annotations.cache_clear()
    file.write_bytes(pickle.dumps({'metainfo': 1})[:-3])
    with pytest.raises(DatasetFileError, match='no pickle of plain data'):
        find_scans('embodiedscan', root)


def test_pickles_that_would_do_something_are_refused(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / 'trapped'),)

    file = tmp_path / 'embodiedscan_infos_val.pkl'
    file.write_bytes(pickle.dumps({'metainfo': {}, 'data_list': [Trap()]}))
    with pytest.raises(DatasetFileError, match='mkdir'):
        find_scans('embodiedscan', tmp_path)
    assert not (tmp_path / 'trapped').exists()
    # Arrays of all protocols are plain data.
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        infos = embodiedscan_infos(shot()[0])
        infos['data_list'][0]['number'] = np.float32(3.5)
        file.write_bytes(pickle.dumps(infos, protocol))
        embodiedscan._annotations.cache_clear()
        assert find_scans('embodiedscan', tmp_path)


def test_the_box_around_points_is_the_smallest_upright_one():
    rng = np.random.default_rng(2)
    turn = rotation_about((0, 0, 1), 0.7)
    points = (rng.uniform(-0.5, 0.5, (400, 3)) * (0.6, 0.2, 0.3)) @ turn.T + (1, 2, 3)
    corners = (_CORNERS * (0.6, 0.2, 0.3)) @ turn.T + (1, 2, 3)
    centre, sides, rotation = upright_box(np.concatenate([points, corners]))
    assert centre == pytest.approx([1, 2, 3])
    assert sorted(sides[:2]) == pytest.approx([0.2, 0.6])
    assert sides[2] == pytest.approx(0.3)
    assert abs(rotation[:, 0] @ turn[:, 0]) == pytest.approx(1) or abs(
        rotation[:, 0] @ turn[:, 1]
    ) == pytest.approx(1)
    line = np.linspace(0, 1, 9)[:, None] * (1.0, 1.0, 1.0)
    assert upright_box(line) is None
    assert upright_box(points[:3]) is None


def test_text_meshes_are_read(tmp_path):
    path = tmp_path / 'a.ply'
    head = 'ply\nformat ascii 1.0\nelement vertex 2\nproperty float x\nproperty float y\nproperty float z\nend_header\n'
    path.write_text(head + '0 1 2\n3 4 5\n')
    assert read_vertices(path).tolist() == [[0, 1, 2], [3, 4, 5]]
    path.write_text(head + '0 1 2\n')
    with pytest.raises(DatasetFileError, match='2 vertices must be there'):
        read_vertices(path)


def test_a_folder_of_captures_is_found(tmp_path):
    write_tar(tmp_path / 'val' / 'ca1m-val-1.tar', members())
    write_folder(tmp_path / 'unpacked', members())
    found = ca1m.find(tmp_path)
    assert [p.relative_to(tmp_path).as_posix() for p in found] == ['unpacked/42898570', 'val/ca1m-val-1.tar']


def spoiled(data: bytes, rng: np.random.Generator) -> bytes:
    """The bytes of a file with a few of them changed, cut out or doubled."""
    found = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        at = int(rng.integers(len(found)))
        match int(rng.integers(4)):
            case 0:
                found[at] = int(rng.integers(256))
            case 1:
                del found[at : at + int(rng.integers(1, 40))]
            case 2:
                found[at:at] = found[at : at + int(rng.integers(1, 40))]
            case _:
                found[at : at + 4] = bytes(rng.integers(0, 256, 4, dtype=np.uint8))
        if not found:
            return b''
    return bytes(found)


def only_told(read):
    """Whether reading ends in a frame (or none) or in an error that names the file."""
    try:
        read()
    except DatasetFileError:
        return True
    return False


def test_spoiled_members_of_ca1m_give_a_frame_or_a_named_error(tmp_path):
    rng = np.random.default_rng(11)
    found, refused = members(), 0
    names = [n for n in found if 'wide/depth' not in n and 'RT' not in n]
    for i in range(120):
        name = names[i % len(names)]
        path = write_tar(tmp_path / 'ca1m-val-42898570.tar', {**found, name: spoiled(found[name], rng)})
        refused += only_told(lambda p=path: Ca1mScan(p).read('1000'))
    assert 40 < refused < 120


def test_spoiled_files_of_scannet_give_a_frame_or_a_named_error(tmp_path):
    rng = np.random.default_rng(12)
    folder = write_scannet(tmp_path, shot()[0], [shot()[1]])
    refused = 0
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        for i in range(40):
            # Half of the time the beginning, where the headers are.
            head = len(whole) if i % 2 else min(len(whole), 400)
            path.write_bytes(spoiled(whole[:head], rng) + whole[head:])
            refused += only_told(lambda: ScanNetScan(folder).read('0'))
        path.write_bytes(whole)
    assert 40 < refused < 160


def test_spoiled_annotations_of_embodiedscan_give_a_frame_or_a_named_error(tmp_path):
    rng = np.random.default_rng(13)
    file = write_embodiedscan(tmp_path, *shot())
    whole, refused = file.read_bytes(), 0
    for _ in range(120):
        file.write_bytes(spoiled(whole, rng))
        embodiedscan._annotations.cache_clear()

        def read():
            for where in find_scans('embodiedscan', tmp_path):
                scan = open_scan('embodiedscan', where)
                for name in scan.names:
                    scan.read(name)

        refused += only_told(read)
    assert 40 < refused < 120
