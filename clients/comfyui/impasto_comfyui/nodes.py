"""The nodes."""

from __future__ import annotations

from typing import Any, Dict

from impasto_client import Client, Job

from .convert import arrange, mask_to_png, pictures_to_tensor, tensor_to_pngs
from .options import collect, common_inputs, option_inputs, parse_values
from .painting import ask_version, connect, paint

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]

CATEGORY = "Impasto"

OPTIONAL = {
    "style_2": ("IMAGE", {"tooltip": "Another style, of any size. A batch is several styles, too; they are blended."}),
    "mask": ("MASK", {"tooltip": "Where to paint. The rest of the picture stays."}),
    "options": ("IMPASTO_OPTIONS",),
}

Options = Dict[str, Any]


class Stylize:
    """Paint each picture of a batch in the manner of a style."""

    CATEGORY = CATEGORY
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "stylize"
    DESCRIPTION = (
        "Paints a picture in the manner of another one, with an Impasto studio: start it with `impasto studio`."
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        """Return the inputs."""
        return {"required": {"content": ("IMAGE",), "style": ("IMAGE",), **common_inputs()}, "optional": OPTIONAL}

    @classmethod
    def IS_CHANGED(cls, options: Options | None = None, **_: Any) -> str:  # noqa: N802 - ComfyUI's name
        """Return the version of the studio, so that another one paints again. Equal inputs give equal pictures."""
        return ask_version(options or {})

    def stylize(
        self,
        content: Any,
        style: Any,
        style_2: Any = None,
        mask: Any = None,
        options: Options | None = None,
        **inputs: Any,
    ) -> tuple[Any]:
        """Paint. Raises `StudioError`."""
        submission = Submission(content, (style, style_2), mask, options, inputs)
        jobs = [submission.submit(number) for number in range(len(content))]
        return (pictures_to_tensor(paint(jobs)),)


class Sweep:
    """Paint a picture once for each value of an option."""

    CATEGORY = CATEGORY
    RETURN_TYPES = ("IMAGE", "IMAGE")
    RETURN_NAMES = ("images", "grid")
    FUNCTION = "sweep"
    DESCRIPTION = "Paints a picture once for each value of an option, such as alpha, to compare them."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        """Return the inputs."""
        own = {
            "option": ("STRING", {"default": "alpha", "tooltip": "Name of the option that changes."}),
            "values": ("STRING", {"default": "1, 5, 20", "tooltip": "Its values, separated by commas."}),
            "columns": ("INT", {"default": 0, "min": 0, "max": 64, "tooltip": "Columns of the grid; 0 is one row."}),
        }
        return {
            "required": {"content": ("IMAGE",), "style": ("IMAGE",), **own, **common_inputs()},
            "optional": OPTIONAL,
        }

    IS_CHANGED = Stylize.IS_CHANGED

    def sweep(
        self,
        content: Any,
        style: Any,
        option: str,
        values: str,
        columns: int,
        style_2: Any = None,
        mask: Any = None,
        options: Options | None = None,
        **inputs: Any,
    ) -> tuple[Any, Any]:
        """Paint the first content. Raises `StudioError`, or `ValueError` if there are no values."""
        changes = [{option.strip().replace("-", "_"): value} for value in parse_values(values)]
        submission = Submission(content, (style, style_2), mask, options, inputs)
        images = pictures_to_tensor(paint([submission.submit(0, change) for change in changes]))
        return images, arrange(images, columns)


class Submission:
    """The pictures of a node, uploaded once, and its options."""

    def __init__(
        self, content: Any, styles: tuple[Any, ...], mask: Any, options: Options | None, inputs: Options
    ) -> None:
        common = {name: value for name, value in inputs.items() if not (name == "alpha" and value < 0)}
        self.options = {**common, **(options or {})}
        self.client: Client = connect(self.options)
        self.options.pop("url", None)
        self.client.check()  # before anything is uploaded
        self.content, self.mask = content, mask
        self.styles = [
            self.client.upload(png, "style.png")
            for style in styles
            if style is not None
            for png in tensor_to_pngs(style)
        ]

    def submit(self, number: int, changes: Options | None = None) -> Job:
        """Submit the job of one content."""
        picture = self.content[number : number + 1]
        protect = None
        if self.mask is not None:
            protect = self.client.upload(mask_to_png(self.mask, number, tuple(picture.shape[1:3])), "mask.png")
        content = self.client.upload(tensor_to_pngs(picture)[0], "content.png")
        return self.client.submit(content, self.styles, protect=protect, **{**self.options, **(changes or {})})


class Score:
    """Measure how close a picture is to its content and style."""

    CATEGORY = CATEGORY
    RETURN_TYPES = ("STRING", "FLOAT", "FLOAT")
    RETURN_NAMES = ("text", "style", "content")
    FUNCTION = "score"
    OUTPUT_NODE = True
    DESCRIPTION = "Measures how close a painting is to its content and style, and looks for artifacts. Lower is better."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        """Return the inputs."""
        pictures = dict.fromkeys(("content", "style", "image"), ("IMAGE",))
        return {"required": pictures, "optional": {"options": OPTIONAL["options"]}}

    def score(self, content: Any, style: Any, image: Any, options: Options | None = None) -> dict[str, Any]:
        """Score the first picture of each batch. Raises `StudioError`."""
        pictures = [tensor_to_pngs(batch[:1])[0] for batch in (content, style, image)]
        scores = connect(options or {}).score(*pictures)
        text = "\n".join(f"{name}: {value:.3f}" for name, value in scores.items())
        return {"ui": {"text": [text]}, "result": (text, scores["style"], scores["content"])}


class OptionsNode:
    """Set the options beyond those of the painting nodes."""

    CATEGORY = CATEGORY
    RETURN_TYPES = ("IMPASTO_OPTIONS",)
    RETURN_NAMES = ("options",)
    FUNCTION = "collect"
    DESCRIPTION = "Sets further options of Impasto, and the address of the studio."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        """Return the inputs."""
        return {"required": option_inputs()}

    def collect(self, **inputs: Any) -> tuple[Options]:
        """Return the options that were set. Raises `ValueError` for a line that is none."""
        return (collect(inputs),)


NODE_CLASS_MAPPINGS = {
    "ImpastoStylize": Stylize,
    "ImpastoSweep": Sweep,
    "ImpastoScore": Score,
    "ImpastoOptions": OptionsNode,
}

NODE_DISPLAY_NAME_MAPPINGS = {
    "ImpastoStylize": "Impasto Stylize",
    "ImpastoSweep": "Impasto Sweep",
    "ImpastoScore": "Impasto Score",
    "ImpastoOptions": "Impasto Options",
}
