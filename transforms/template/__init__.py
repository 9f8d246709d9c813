"""Templates for text outputs: checked here, rendered in a process of their own that has limits."""

from transforms.template.names import included, lines_reading, markup, media_type
from transforms.template.worker import Bundle, Limits, Rendering, TemplateWorker

__all__ = ["Bundle", "Limits", "Rendering", "TemplateWorker", "included", "lines_reading", "markup", "media_type"]
