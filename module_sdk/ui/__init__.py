"""The components of a page."""

from __future__ import annotations

from module_sdk.ui.components import BackgroundTask, Builder, Button, Component, Text

__all__ = ["BackgroundTask", "Builder", "Button", "Component", "Text"]
