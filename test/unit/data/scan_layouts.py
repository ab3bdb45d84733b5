# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Simulated scenes written to disk exactly as CA-1M, ScanNet and EmbodiedScan lay out theirs."""

import io
import json
import pickle
import struct
import tarfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.transforms import invert, make_transform, rotation_about
from robotracer_ros.sim.spec import FLOOR_Z, TABLE_EDGES, Scene

#: corners of a box in the order of CA-1M
_CORNERS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])


def png(array) -> bytes:
    out = io.BytesIO()
    Image.fromarray(array).save(out, 'PNG')
    return out.getvalue()


def jpeg(array) -> bytes:
    out = io.BytesIO()
    Image.fromarray(array).save(out, 'JPEG', quality=95)
    return out.getvalue()


def doubled(camera: CameraModel) -> CameraModel:
    """The camera of a picture in which every pixel became two by two."""
    return CameraModel(
        2 * camera.width,
        2 * camera.height,
        2 * camera.fx,
        2 * camera.fy,
        2 * camera.cx + 0.5,
        2 * camera.cy + 0.5,
    )


def annotated(scene: Scene) -> list[tuple[str, str, np.ndarray, np.ndarray]]:
    """Id, category, world_from_box and full sides of everything, the table included."""
    x0, y0, x1, y1 = TABLE_EDGES
    table = make_transform(None, ((x0 + x1) / 2, (y0 + y1) / 2, FLOOR_Z / 2))
    boxes = [('table_0', 'table', table, np.array([x1 - x0, y1 - y0, -FLOOR_Z]))]
    for o in scene.objects:
        # The upright board that a simulated scene calls a wall is no part of a room.
        name = 'cabinet' if o.kind == 'wall' else o.kind.replace(' ', '_')
        boxes.append((o.id, name, o.pose, o.extents))
    return boxes


def gravity_matrix(world_from_camera) -> np.ndarray:
    """camera_from_gravity: y of the gravity frame is down, x stays in the picture's horizontal plane."""
    down = -world_from_camera[2, :3]
    right = np.cross(down, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    return np.stack([right, down, np.cross(right, down)], axis=1)


def ca1m_frame(scene: Scene, picture, time: int = 1000, video: str = '42898570') -> dict[str, bytes]:
    """All members of a frame, by name."""
    c = scene.camera
    wide = doubled(c)
    camera_from_world = invert(scene.world_from_camera)
    instances = []
    for key, category, pose, sides in annotated(scene):
        # CA-1M stores length, height, width: the second axis of a box is the upright one.
        local = make_transform(rotation_about((1, 0, 0), np.pi / 2))
        turned = camera_from_world @ pose @ local
        size = np.abs(local[:3, :3].T) @ sides
        corners = (_CORNERS * size) @ turned[:3, :3].T + turned[:3, 3]
        instances.append(
            {
                'id': key,
                'category': category,
                'position': turned[:3, 3].tolist(),
                'scale': size.tolist(),
                'R': turned[:3, :3].tolist(),
                'corners': corners.tolist(),
            }
        )
    base = f'{video}/{time}'
    large = np.repeat(np.repeat(picture.rgb, 2, axis=0), 2, axis=1)
    depth = np.rint(picture.depth * 1000).astype(np.uint16)
    return {
        f'{base}.wide/image.png': png(large),
        f'{base}._wide/image/size': f'[{wide.width}, {wide.height}]'.encode(),
        f'{base}.wide/image/K.json': json.dumps(wide.matrix.tolist()).encode(),
        f'{base}.wide/depth.png': png(depth[::2, ::2]),
        f'{base}.wide/instances.json': json.dumps(instances).encode(),
        f'{base}.wide/T_gravity.json': json.dumps(
            gravity_matrix(scene.world_from_camera).tolist()
        ).encode(),
        f'{base}.gt/RT.json': json.dumps(scene.world_from_camera.tolist()).encode(),
        f'{base}.gt/depth.png': png(depth),
        f'{base}._gt/depth/size': f'[{c.width}, {c.height}]'.encode(),
        f'{base}.gt/depth/K.json': json.dumps(c.matrix.tolist()).encode(),
    }


def ca1m_world(scene: Scene, video: str = '42898570') -> dict[str, bytes]:
    """The instances of the whole capture; the floor is one of them."""
    items = [
        {
            'id': key,
            'category': category,
            'caption': f'a {category}',
            'position': pose[:3, 3].tolist(),
            'scale': sides.tolist(),
            'R': pose[:3, :3].tolist(),
        }
        for key, category, pose, sides in annotated(scene)
    ]
    floor = {
        'id': 'floor_0',
        'category': 'floor',
        'caption': '',
        'position': [0.0, 0.0, FLOOR_Z],
        'scale': [6.0, 6.0, 0.02],
        'R': np.eye(3).tolist(),
    }
    return {f'{video}/world.gt/instances.json': json.dumps([*items, floor]).encode()}


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, 'w') as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def write_folder(root: Path, members: dict[str, bytes]) -> Path:
    for name, data in members.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


#: the world of ScanNet's poses as the simulated one sees it: turned about the vertical and shifted
SCAN_FROM_SIM = make_transform(rotation_about((0, 0, 1), 0.4), (2.0, -1.0, 0.9))


def sens(scene: Scene, pictures, lost: tuple[int, ...] = (), **changes) -> bytes:
    """A .sens file; ``changes`` replace header fields by name, frames in ``lost`` have no pose."""
    c, wide = scene.camera, doubled(scene.camera)
    head = {
        'version': 4,
        'name': b'StructureSensor',
        'color': (2, 1),
        'sizes': (wide.width, wide.height, c.width, c.height),
        'shift': 1000.0,
        'frames': len(pictures),
    } | changes
    out = io.BytesIO()
    out.write(struct.pack('<IQ', head['version'], len(head['name'])) + head['name'])
    for matrix in (wide.matrix, np.eye(3), c.matrix, np.eye(3)):
        full = np.eye(4)
        full[:3, :3] = matrix
        out.write(struct.pack('<16f', *full.ravel()))
    out.write(struct.pack('<2i4If', *head['color'], *head['sizes'], head['shift']))
    out.write(struct.pack('<Q', head['frames']))
    pose = SCAN_FROM_SIM @ scene.world_from_camera
    for i, picture in enumerate(pictures):
        large = np.repeat(np.repeat(picture.rgb, 2, axis=0), 2, axis=1)
        color = jpeg(large)
        depth = zlib.compress(np.rint(picture.depth * 1000).astype('<u2').tobytes())
        numbers = np.full(16, -np.inf) if i in lost else pose.ravel()
        out.write(struct.pack('<16f4Q', *numbers, i, i, len(color), len(depth)) + color + depth)
    return out.getvalue()


def ply(vertices: np.ndarray) -> bytes:
    """A mesh as ScanNet's: coloured vertices and one face."""
    head = (
        'ply\nformat binary_little_endian 1.0\ncomment VCGLIB generated\n'
        f'element vertex {len(vertices)}\nproperty float x\nproperty float y\nproperty float z\n'
        'property uchar red\nproperty uchar green\nproperty uchar blue\nproperty uchar alpha\n'
        'element face 1\nproperty list uchar int vertex_indices\nend_header\n'
    )
    dtype = [('xyz', '<f4', 3), ('rgba', 'u1', 4)]
    table = np.zeros(len(vertices), dtype=dtype)
    table['xyz'] = vertices
    return head.encode() + table.tobytes() + struct.pack('<B3i', 3, 0, 1, 2)


def write_scannet(root: Path, scene: Scene, pictures, lost=(), scan: str = 'scene0042_00') -> Path:
    """A scan with all files that are read; every thing is two segments of its box's corners."""
    folder = root / 'scans' / scan
    folder.mkdir(parents=True)
    (folder / f'{scan}.sens').write_bytes(sens(scene, pictures, lost))
    vertices, segments, groups = [np.zeros((3, 3))], [7, 7, 7], []
    for i, (_, label, pose, sides) in enumerate(annotated(scene)):
        corners = _CORNERS * sides
        around = corners @ pose[:3, :3].T + pose[:3, 3]
        vertices.append(around @ SCAN_FROM_SIM[:3, :3].T + SCAN_FROM_SIM[:3, 3])
        segments += [100 + 2 * i] * 4 + [101 + 2 * i] * 4
        groups.append(
            {
                'id': i,
                'objectId': i,
                'segments': [100 + 2 * i, 101 + 2 * i],
                'label': label.replace('_', ' '),
            }
        )
    (folder / f'{scan}_vh_clean_2.ply').write_bytes(ply(np.concatenate(vertices)))
    (folder / f'{scan}_vh_clean_2.0.010000.segs.json').write_text(
        json.dumps({'sceneId': scan, 'segIndices': segments})
    )
    (folder / f'{scan}.aggregation.json').write_text(
        json.dumps({'sceneId': scan, 'segGroups': groups, 'segmentsFile': ''})
    )
    return folder


def embodiedscan_infos(scene: Scene, scan: str = 'scene0042_00') -> dict:
    """The content of an annotation file with one scan of one frame, and one of another source."""
    categories = {name: i + 1 for i, name in enumerate(sorted({a[1] for a in annotated(scene)}))}
    align = make_transform(rotation_about((0, 0, 1), -1.1), (-0.3, 0.2, 0.0))
    boxed = align @ SCAN_FROM_SIM
    instances = []
    for i, (_, label, pose, sides) in enumerate(annotated(scene)):
        at = boxed @ pose
        angles = Rotation.from_matrix(at[:3, :3]).as_euler('ZXY')
        instances.append(
            {
                'bbox_3d': [*at[:3, 3].tolist(), *sides.tolist(), *angles.tolist()],
                'bbox_label_3d': categories[label],
                'bbox_id': i,
            }
        )

    def four(matrix):
        full = np.eye(4)
        full[:3, :3] = matrix
        return full

    info = {
        'sample_idx': f'scannet/{scan}',
        'axis_align_matrix': align,
        'cam2img': four(doubled(scene.camera).matrix),
        'depth_cam2img': four(scene.camera.matrix),
        'images': [
            {
                'img_path': f'scannet/posed_images/{scan}/00000.jpg',
                'depth_path': f'scannet/posed_images/{scan}/00000.png',
                'cam2global': SCAN_FROM_SIM @ scene.world_from_camera,
                'visible_instance_ids': list(range(len(instances))),
            }
        ],
        'instances': instances,
    }
    return {
        'metainfo': {'categories': categories, 'DATASET': 'EmbodiedScan'},
        'data_list': [info, {'sample_idx': '3rscan/0cac7578'}],
    }


def write_embodiedscan(root: Path, scene: Scene, picture, infos: dict | None = None) -> Path:
    """Annotation file and the frame as the converter writes it."""
    infos = embodiedscan_infos(scene) if infos is None else infos
    folder = root / 'scannet' / 'posed_images' / 'scene0042_00'
    folder.mkdir(parents=True)
    large = np.repeat(np.repeat(picture.rgb, 2, axis=0), 2, axis=1)
    (folder / '00000.jpg').write_bytes(jpeg(large))
    (folder / '00000.png').write_bytes(png(np.rint(picture.depth * 1000).astype(np.uint16)))
    file = root / 'embodiedscan_infos_val.pkl'
    file.write_bytes(pickle.dumps(infos))
    return file
