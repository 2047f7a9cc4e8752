"""What is stored under the digest of its own content: rows, labels, gold labels.

Equal content is stored once.
"""

from __future__ import annotations

from w2s_ray.core.answers import Answers
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.labels import LabelSet
from w2s_ray.engine.context import Context
from w2s_ray.engine.execute import put_content
from w2s_ray.engine.fingerprint import Inputs, Key, Params
from w2s_ray.engine.handle import Handle
from w2s_ray.engine.step import JSON, Step

Content = Dataset | LabelSet | Answers


def _slug(params: Params, inputs: Inputs) -> str:
    return str(params["shape"])


# None of these is run as a step; each has a version, and names the code that reads a stored one.
DATASET = Step("dataset", 2, "w2s_ray.core.dataset:Dataset", _slug)
LABELS = Step("labels", 2, "w2s_ray.core.answers:load_labels", _slug)
GOLD = Step("gold", 2, "w2s_ray.core.answers:load_labels", _slug)


def content_params(content: Content) -> JSON:
    """The identity of a content."""
    return {"digest": content.digest, "shape": _shape(content)}


def _shape(content: Content) -> str:
    if isinstance(content, Dataset):
        return f"{content.kind}-{len(content)}"
    return f"{len(content)}x{content.num_classes if isinstance(content, LabelSet) else 'answers'}"


def content_key(content: Content, step: Step | None = None) -> Key:
    """The key of a content; gold labels have a step of their own."""
    step = step or (DATASET if isinstance(content, Dataset) else LABELS)
    return step.key(content_params(content), {})


def content_value(content: Content) -> JSON:
    """The `value` of its record."""
    if isinstance(content, Dataset):
        return {"rows": len(content), "kind": content.kind.name, "classes": list(content.classes)}
    return {"rows": len(content), "source": content.source}


def put(context: Context, content: Content) -> Handle:
    """Store a content that the driver holds."""
    step = DATASET if isinstance(content, Dataset) else LABELS
    key = content_key(content)
    put_content(context.store, key, step.version, content_params(content), content.save, content_value(content))
    return context.adopt(key)
