# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The models of the web pipeline: detector, segmenter, metric depth and captioner from ``transformers``.

They stand here and not in ``data/``, because only rooms that may load torch can hold them; the command line hands
:func:`load_models` to the pipeline. Any model of these classes will do, by hub name or folder:

* detector: zero-shot (GroundingDINO, OWL-ViT, OWLv2 ...) or with fixed classes (DETR, RT-DETR ...);
* segmenter: SAM or SAM 2, asked with boxes;
* depth: whatever ``AutoModelForDepthEstimation`` loads and tells metres;
* captioner: whatever ``AutoModelForImageTextToText`` loads and needs no prompt (BLIP, GIT).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from PIL import Image
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForDepthEstimation,
    AutoModelForImageTextToText,
    AutoModelForObjectDetection,
    AutoModelForZeroShotObjectDetection,
    AutoProcessor,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_ZERO_SHOT_OBJECT_DETECTION_MAPPING

from robotracer_ros.data.web.config import ModelNames
from robotracer_ros.data.web.perception import DepthEstimate, Detection, Rgb
from robotracer_ros.errors import CheckpointError

#: segmenters by the type in their configuration
_SEGMENTERS = {'sam': ('SamModel', 'SamProcessor'), 'sam2': ('Sam2Model', 'Sam2Processor')}
#: what a tokenizer puts between and around words
_MARKS = re.compile(r'\[[a-z]+\]|<[^>]*>|[.]')
#: boxes that are segmented together: masks of large pictures take memory
_BOXES = 16


def load_models(names: ModelNames) -> WebModels:
    """Load the models.

    Raises:
        CheckpointError: a model is not on this machine (and may not be downloaded), or is of another kind.
    """
    return WebModels(names)


class WebModels:
    """Looks at pictures with four models. Not thread-safe.

    Args:
        names: Which, and their thresholds.

    Raises:
        CheckpointError: as :func:`load_models`.
    """

    def __init__(self, names: ModelNames) -> None:
        self._names = names
        cuda = names.device == 'cuda' or (names.device == 'auto' and torch.cuda.is_available())
        self._device = torch.device('cuda' if cuda else 'cpu')
        self._options = {'local_files_only': not names.download}
        self._detector, self._detector_processor, self._zero_shot = self._load_detector()
        self._segmenter, self._segmenter_processor, self._kind = self._load_segmenter()
        self._depth = self._part(AutoModelForDepthEstimation, names.depth, 'depth')
        self._depth_processor = self._part(AutoImageProcessor, names.depth, 'depth')
        # A model that tells only what is in front of what has no metres to give.
        if getattr(self._depth.config, 'depth_estimation_type', 'metric') != 'metric':
            raise CheckpointError(
                f"depth model '{names.depth}' estimates "
                f'{self._depth.config.depth_estimation_type} depth: a metric one is needed'
            )
        self._captioner = self._caption_processor = None
        if names.captioner:
            self._captioner = self._part(AutoModelForImageTextToText, names.captioner, 'captioner')
            self._caption_processor = self._part(AutoProcessor, names.captioner, 'captioner')

    @torch.inference_mode()
    def detect(self, rgb: Rgb) -> list[Detection]:
        """Find things in a picture (H, W, 3)."""
        image, size = Image.fromarray(rgb), [rgb.shape[:2]]
        labels = list(self._names.labels)
        threshold = self._names.detector_threshold
        if self._zero_shot:
            inputs = self._detector_processor(
                images=image, text=[labels], padding=True, return_tensors='pt'
            ).to(self._device)
            options: dict[str, Any] = {'threshold': threshold, 'target_sizes': size}
            options['text_labels'] = [labels]
            if 'input_ids' in inputs and self._detector.config.model_type.endswith('grounding-dino'):
                options |= {
                    'input_ids': inputs['input_ids'],
                    'text_threshold': self._names.text_threshold,
                }
            outputs = self._detector(**inputs)
            found = self._detector_processor.post_process_grounded_object_detection(
                outputs, **options
            )[0]
            said = found['text_labels']
        else:
            inputs = self._detector_processor(images=image, return_tensors='pt').to(self._device)
            outputs = self._detector(**inputs)
            found = self._detector_processor.post_process_object_detection(
                outputs, threshold=threshold, target_sizes=size
            )[0]
            said = [self._detector.config.id2label[int(i)] for i in found['labels']]
            labels = list(self._detector.config.id2label.values())
        scores, boxes = found['scores'].tolist(), found['boxes'].tolist()
        if not scores:  # GroundingDINO decodes no boxes to one empty name
            return []
        detections = []
        for words, score, box in zip(said, scores, boxes, strict=True):
            label = match_label(words, labels)
            clipped = _inside(box, rgb.shape[1], rgb.shape[0])
            if label and clipped is not None:
                detections.append(Detection(label, float(score), clipped))
        return detections

    @torch.inference_mode()
    def segment(
        self, rgb: Rgb, boxes: Sequence[tuple[float, float, float, float]]
    ) -> NDArray[np.bool_]:
        """Cut out what is in boxes (K); return masks (K, H, W)."""
        parts = [np.zeros((0, *rgb.shape[:2]), dtype=bool)]
        for start in range(0, len(boxes), _BOXES):
            some = [[float(x) for x in box] for box in boxes[start : start + _BOXES]]
            inputs = self._segmenter_processor(
                images=Image.fromarray(rgb), input_boxes=[some], return_tensors='pt'
            ).to(self._device)
            outputs = self._segmenter(**inputs, multimask_output=False)
            sizes = [inputs['original_sizes'].cpu()]
            if self._kind == 'sam':
                sizes.append(inputs['reshaped_input_sizes'].cpu())
            masks = self._segmenter_processor.post_process_masks(outputs.pred_masks.cpu(), *sizes)[0]
            parts.append(np.asarray(masks[:, 0], dtype=bool))
        return np.concatenate(parts)

    @torch.inference_mode()
    def depth(self, rgb: Rgb) -> DepthEstimate:
        """Estimate metric depth, and the focal length where the model does."""
        inputs = self._depth_processor(images=Image.fromarray(rgb), return_tensors='pt')
        outputs = self._depth(**inputs.to(self._device))
        found = self._depth_processor.post_process_depth_estimation(
            outputs, target_sizes=[rgb.shape[:2]]
        )[0]
        focal = found.get('focal_length')
        depth = found['predicted_depth'].float().cpu().numpy()
        return DepthEstimate(
            np.where(np.isfinite(depth) & (depth > 0), depth, 0).astype(np.float32),
            None if focal is None else float(focal),
        )

    @torch.inference_mode()
    def caption(self, rgb: Rgb) -> str:
        """Describe a picture in a few words; empty without a captioner."""
        if self._captioner is None or self._caption_processor is None:
            return ''
        inputs = self._caption_processor(images=Image.fromarray(rgb), return_tensors='pt')
        tokens = self._captioner.generate(
            **inputs.to(self._device), max_new_tokens=self._names.caption_tokens, do_sample=False
        )
        text = self._caption_processor.batch_decode(tokens, skip_special_tokens=True)[0]
        return ' '.join(str(text).split())

    def _load_detector(self) -> tuple[Any, Any, bool]:
        name = self._names.detector
        config = self._part(AutoConfig, name, 'detector')
        zero_shot = type(config) in MODEL_FOR_ZERO_SHOT_OBJECT_DETECTION_MAPPING
        if zero_shot:
            model = self._part(AutoModelForZeroShotObjectDetection, name, 'detector')
            return model, self._part(AutoProcessor, name, 'detector'), True
        model = self._part(AutoModelForObjectDetection, name, 'detector')
        return model, self._part(AutoImageProcessor, name, 'detector'), False

    def _load_segmenter(self) -> tuple[Any, Any, str]:
        name = self._names.segmenter
        kind = str(self._part(AutoConfig, name, 'segmenter').model_type)
        if kind not in _SEGMENTERS:
            raise CheckpointError(
                f"segmenter '{name}' is of type '{kind}': must be one of {', '.join(_SEGMENTERS)}"
            )
        model, processor = (getattr(transformers, n) for n in _SEGMENTERS[kind])
        return self._part(model, name, 'segmenter'), self._part(processor, name, 'segmenter'), kind

    def _part(self, cls: Any, name: str, role: str) -> Any:
        """Load a model, processor or configuration; models stand ready on the device."""
        options = dict(self._options)
        if issubclass(cls, transformers.PreTrainedModel) or cls.__name__.startswith('AutoModel'):
            options |= {'use_safetensors': True}
        try:
            part = cls.from_pretrained(name, **options)
        except (OSError, ValueError, KeyError) as error:
            raise CheckpointError(
                f"{role} '{name}' cannot be loaded as {cls.__name__}: {error}", role=role
            ) from error
        return part.to(self._device).eval() if isinstance(part, torch.nn.Module) else part


def match_label(words: str, labels: Sequence[str]) -> str:
    """Return the label that a detector's words mean: GroundingDINO gives pieces of its prompt. Empty when unclear."""
    said = ' '.join(_MARKS.sub(' ', words.lower()).split())
    for label in labels:
        if said == label.lower():
            return label
    if not said:
        return ''
    pieces = set(said.split())
    fits = [label for label in labels if set(label.lower().split()) <= pieces]
    return fits[0] if len(fits) == 1 else ''


def _inside(
    box: Sequence[float], width: int, height: int
) -> tuple[float, float, float, float] | None:
    """Return a box cut to the picture, or None when less than a pixel of it is left."""
    if not np.isfinite(box).all():
        return None
    x0, x1 = (min(max(float(x), 0.0), float(width)) for x in (box[0], box[2]))
    y0, y1 = (min(max(float(y), 0.0), float(height)) for y in (box[1], box[3]))
    return (x0, y0, x1, y1) if x1 - x0 >= 1 and y1 - y0 >= 1 else None
