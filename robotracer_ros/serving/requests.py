# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The two protocols as typed requests, and how each becomes an observation and a question."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.serving import pictures
from robotracer_ros.serving.pictures import Folder, PictureLimits
from robotracer_ros.serving.refusal import Refusal
from robotracer_ros.tracer.base import Observation

Matrix = Annotated[list[Annotated[list[float], Field(max_length=4)]], Field(max_length=4)]

#: no camera that this model can use is outside; far outside, numbers overflow
_FOCAL_PX = (1.0, 1e5)


class _Strict(BaseModel):
    """Numbers are finite; what a client sends beyond the fields is ignored, as OpenAI's does."""

    model_config = ConfigDict(allow_inf_nan=False, extra='ignore')


class Query(_Strict):
    """Body of ``POST /query``: both forms of the official protocol."""

    text: str
    image_paths: list[str] | None = None
    depth_z_paths: list[str] | None = None
    intrinsics: Matrix | Annotated[list[Matrix], Field(max_length=1)] | None = None
    enable_spatial: Literal[0, 1] | bool = True
    image_url: list[str] | None = None
    depth_url: list[str] | None = None
    enable_depth: Literal[0, 1] | bool = True


class DataAddress(_Strict):
    """A picture as a ``data:`` address."""

    url: str


class TextPart(_Strict):
    """Text of a message."""

    type: Literal['text']
    text: str


class ImagePart(_Strict):
    """Colour picture of a message."""

    type: Literal['image_url']
    image_url: DataAddress


class DepthPart(_Strict):
    """Extension: depth of the same view, 16-bit grey PNG in millimetres."""

    type: Literal['depth']
    depth: DataAddress


class CameraPart(_Strict):
    """Extension: what is known of the camera."""

    class Camera(_Strict):
        """Intrinsics in pixels of an image of width x height; pose with z up, camera in it."""

        intrinsics: Matrix | None = None
        width: Annotated[int, Field(ge=1, le=100_000)] | None = None
        height: Annotated[int, Field(ge=1, le=100_000)] | None = None
        gravity_from_camera: Matrix | None = None

    type: Literal['camera']
    camera: Camera


Part = Annotated[TextPart | ImagePart | DepthPart | CameraPart, Field(discriminator='type')]


class Message(_Strict):
    """One message of a conversation."""

    role: Literal['system', 'developer', 'user', 'assistant']
    content: str | Annotated[list[Part], Field(max_length=16)]


class Chat(_Strict):
    """Body of ``POST /v1/chat/completions``. The model decodes greedily: sampling is ignored."""

    model: str = ''
    messages: Annotated[list[Message], Field(min_length=1, max_length=8)]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    n: Literal[1] = 1
    stream: Literal[False] | None = False


def observe_query(query: Query, limits: PictureLimits, folder: Folder | None) -> Observation:
    """Return what the model is to see for a query. Raises Refusal."""
    if query.image_paths and query.image_url:
        raise Refusal(400, 'two_forms', 'image_paths and image_url in one request: send one')
    if (query.image_paths or query.depth_z_paths) and folder is None:
        raise Refusal(
            403,
            'paths_not_allowed',
            'this server reads no files: send base64 (image_url), or start it with --allow-folder',
        )
    depth_data = None
    if query.image_paths and folder is not None:
        data = folder.read(_only(query.image_paths, 'image_paths'), 'image')
        if query.depth_z_paths:
            depth_data = folder.read(_only(query.depth_z_paths, 'depth_z_paths'), 'depth')
    else:
        data = pictures.from_base64(_only(query.image_url or [], 'image_url'), 'image_url')
        if query.depth_url and query.enable_depth:
            depth_data = pictures.from_base64(_only(query.depth_url, 'depth_url'), 'depth_url')
    rgb = pictures.colour(data, limits)
    if not query.enable_spatial:
        return Observation(rgb)
    depth = None if depth_data is None else pictures.depth(depth_data, limits)
    _check_same_view(rgb, depth)
    k: Any = query.intrinsics
    if k and k[0] and isinstance(k[0][0], list):
        k = k[0]
    size = (rgb.shape[1], rgb.shape[0])
    return Observation(rgb, depth, None if not k else _camera(k, *size))


def observe_chat(chat: Chat, limits: PictureLimits) -> tuple[Observation, str]:
    """Return what the model is to see for a conversation, and the text of its one question.

    Raises:
        Refusal: there is not exactly one message by the user and one picture, or one of the
            pictures is not accepted.
    """
    asked = [m for m in chat.messages if m.role in ('user', 'assistant')]
    if len(asked) != 1 or asked[0].role != 'user':
        raise Refusal(
            400,
            'one_question',
            f'{len(asked)} messages of user and assistant: this model answers one question of the '
            'user (system messages are ignored)',
        )
    content = asked[0].content
    parts: list[Any] = [] if isinstance(content, str) else content
    image = _only([p.image_url.url for p in parts if isinstance(p, ImagePart)], 'image_url')
    rgb = pictures.colour(pictures.from_data_uri(image, 'image_url'), limits)
    depths = [p.depth.url for p in parts if isinstance(p, DepthPart)]
    depth = None
    if depths:
        uri = _only(depths, 'depth')
        depth = pictures.depth(pictures.from_data_uri(uri, 'depth'), limits)
    _check_same_view(rgb, depth)
    cameras = [p.camera for p in parts if isinstance(p, CameraPart)]
    if len(cameras) > 1:
        raise Refusal(400, 'too_many', f'{len(cameras)} camera parts: at most 1')
    told = cameras[0] if cameras else CameraPart.Camera()
    height, width, _ = rgb.shape
    camera = None
    if told.intrinsics:
        camera = _camera(told.intrinsics, told.width or width, told.height or height)
        _check_shape((camera.width, camera.height), (width, height), 'the camera')
    pose = None if told.gravity_from_camera is None else _pose(told.gravity_from_camera)
    text = ' '.join(p.text for p in parts if isinstance(p, TextPart))
    return Observation(rgb, depth, camera, pose), text


def _only(items: list[str], what: str) -> str:
    if len(items) != 1:
        raise Refusal(400, 'one_image', f'{what} holds {len(items)} pictures: exactly 1 is read')
    return items[0]


def _check_same_view(rgb: NDArray[np.uint8], depth: NDArray[np.float32] | None) -> None:
    if depth is not None:
        size = (depth.shape[1], depth.shape[0])
        _check_shape(size, (rgb.shape[1], rgb.shape[0]), 'the depth')


def _check_shape(size: tuple[int, int], image: tuple[int, int], what: str) -> None:
    """Pictures of one view may differ in size, by scaling, but not in shape."""
    if abs(math.log(size[0] / size[1]) - math.log(image[0] / image[1])) > 0.03:
        raise Refusal(
            400,
            'other_view',
            f'{what} is {size[0]}x{size[1]} and the image {image[0]}x{image[1]}: not the same view',
        )


def _camera(k: list[list[float]], width: int, height: int) -> CameraModel:
    rows = {len(row) for row in k}
    if len(k) not in (3, 4) or rows != {len(k)}:
        raise Refusal(400, 'bad_intrinsics', 'intrinsics must be a 3x3 or 4x4 matrix')
    low, high = _FOCAL_PX
    if not (low <= k[0][0] <= high and low <= k[1][1] <= high):
        raise Refusal(
            400,
            'bad_intrinsics',
            f'focal lengths {k[0][0]:g} and {k[1][1]:g} px: must be in {low:g}..{high:g}',
        )
    if not (abs(k[0][2]) <= high and abs(k[1][2]) <= high):
        raise Refusal(
            400,
            'bad_intrinsics',
            f'principal point ({k[0][2]:g}, {k[1][2]:g}) px: must be within {high:g}',
        )
    return CameraModel.from_matrix(k, width, height)


def _pose(matrix: list[list[float]]) -> NDArray[np.float64]:
    if len(matrix) != 4 or {len(row) for row in matrix} != {4}:
        raise Refusal(400, 'bad_pose', 'gravity_from_camera must be a 4x4 matrix')
    pose = np.array(matrix)
    r = pose[:3, :3]
    rigid = np.abs(r).max() <= 2 and np.abs(r @ r.T - np.eye(3)).max() < 1e-2
    if not rigid or np.linalg.det(r) < 0 or pose[3].tolist() != [0, 0, 0, 1]:
        raise Refusal(400, 'bad_pose', 'gravity_from_camera is not a rotation and a translation')
    if np.abs(pose[:3, 3]).max() > 1000:
        raise Refusal(400, 'bad_pose', 'gravity_from_camera is more than 1000 m away')
    return pose
