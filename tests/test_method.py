"""The whole method on a tiny network."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import torch
from builders.objectives import measure_losses, plain_objective, tiny_config
from builders.pixels import read_pixels
from builders.runs import build_run, picture
from torch import Tensor

from impasto.config import Inputs, ResolvedConfig, RunOptions
from impasto.core import method
from impasto.core.encoder import Encoder
from impasto.core.evaluate import AutogradEngine, Engine, Evaluation, Evaluator
from impasto.core.image import resize
from impasto.core.method import Progress
from impasto.core.objective import Objective
from impasto.core.optimizer_state import LBFGSState
from impasto.core.target_image import pink_noise
from impasto.errors import ConfigError, ImageError, LayerError
from impasto.images import NamedImage, load
from impasto.run import Result
from impasto.run.loading import load_inputs


class RecordingEngine(AutogradEngine):
    """An engine that records its objectives and evaluations."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder)
        self.objectives: list[Objective] = []
        self.evaluations: list[tuple[Tensor, Evaluation]] = []

    def evaluator(self, objective: Objective, alpha: float) -> Evaluator:
        self.objectives.append(objective)
        evaluate = super().evaluator(objective, alpha)

        def record(image: Tensor) -> Evaluation:
            evaluation = evaluate(image)
            self.evaluations.append((image.clone(), Evaluation(evaluation.losses, evaluation.gradient.clone())))
            return evaluation

        return record


def stylize_steps(
    inputs: Inputs, config: ResolvedConfig, *, engine: Engine, run: RunOptions | None = None
) -> Generator[Progress, None, None]:
    return method.stylize_steps(load_inputs(inputs, config, run or RunOptions(), engine), config, engine=engine)


def paint(encoder: Encoder, config: ResolvedConfig, **inputs: Any) -> tuple[list[Progress], Result]:
    run = build_run(encoder, config, **inputs)
    # Images are views that the next step overwrites: only the last one is valid.
    return list(run.steps()), run.result()


def test_both_losses_fall_from_noise(tiny: Encoder) -> None:
    steps, result = paint(tiny, tiny_config(iterations=40, scales=1))
    first, last = steps[0].losses, steps[-1].losses
    assert float(last.content) < 0.3 * float(first.content)
    assert float(last.style) < 0.3 * float(first.style)
    assert result.iterations == 40
    assert result.evaluations >= 41


def test_only_the_image_is_optimized(tiny: Encoder) -> None:
    content, style = picture(1), picture(2)
    frozen = {**tiny.kernels, **{f"{n}.bias": b for n, b in tiny.biases.items()}, "c": content, "s": style}
    before = {name: tensor.clone() for name, tensor in frozen.items()}
    first, *_, last = paint(tiny, tiny_config(iterations=5), content=content, styles=(style,))[0]
    assert first.image.shape[0] == 1
    assert not torch.equal(last.image, 0.5 * torch.ones_like(last.image))
    for name, tensor in frozen.items():
        assert torch.equal(tensor, before[name]), name
        assert not tensor.requires_grad, name
        assert tensor.grad is None, name


def test_textbook_preset_matches_the_published_method(tiny: Encoder) -> None:
    """Check the first evaluation: from noise, at one scale, it is MSE + α · MSE of Gram matrices."""
    config = tiny_config(
        style_loss="gram", units="absolute", alpha=0.01, parametrization="pixels", clamp=False, init_noise="white",
        noise_std=0.2, scales=1, iterations=3, seed=5,
    )  # fmt: skip
    content, style = picture(1), picture(2)
    engine = RecordingEngine(tiny)
    list(stylize_steps(Inputs(content=content, styles=(style,)), config, engine=engine))
    noise = torch.randn(1, 3, 40, 56, generator=torch.Generator().manual_seed(5))
    start, evaluation = engine.evaluations[0]
    torch.testing.assert_close(start, 0.5 + 0.2 * noise)

    def gram(x: Tensor) -> Tensor:
        flat = x[0].flatten(1)
        return flat @ flat.T / flat.shape[1]

    names = ["relu1_1", "relu2_1"]
    x = start.clone().requires_grad_()
    fx, fc, fs = tiny(x, names), tiny(content, names), tiny(style, names)
    total = ((fx["relu2_1"] - fc["relu2_1"]) ** 2).mean() + 0.01 * sum(
        ((gram(fx[n]) - gram(fs[n])) ** 2).mean() for n in names
    )
    (gradient,) = torch.autograd.grad(total, x)
    torch.testing.assert_close(evaluation.losses.total, total.detach())
    torch.testing.assert_close(evaluation.gradient, gradient)
    # The second image is one step down that gradient.
    step = engine.evaluations[1][0] - start
    assert torch.nn.functional.cosine_similarity(step.flatten(), -gradient.flatten(), dim=0) > 0.9999


def test_reported_losses_are_of_the_written_pixels(tiny: Encoder) -> None:
    config = tiny_config(iterations=12, clamp=False, alpha=50)
    content, style = picture(1), picture(2)
    _, result = paint(tiny, config, content=content, styles=(style,))
    assert result.image.min() >= 0
    assert result.image.max() <= 1
    again = measure_losses(tiny, plain_objective(tiny, content, style, config), result.image).as_floats()
    assert result.losses == pytest.approx(again, rel=1e-6)


def test_seed_determines_the_picture(tiny: Encoder) -> None:
    same = [paint(tiny, tiny_config(iterations=6, seed=3))[1].image for _ in range(2)]
    other = paint(tiny, tiny_config(iterations=6, seed=4))[1].image
    assert torch.equal(*same)
    assert not torch.equal(same[0], other)


@pytest.mark.parametrize("init", ["content", "style"])
def test_can_start_from_content_or_style(tiny: Encoder, init: str) -> None:
    steps, _ = paint(tiny, tiny_config(init=init, iterations=1, scales=1))
    start = float(getattr(steps[0].losses, init))
    noise = float(getattr(paint(tiny, tiny_config(iterations=1, scales=1))[0][0].losses, init))
    assert start < 0.5 * noise


def test_can_start_from_any_image(tiny: Encoder) -> None:
    start = picture(9)
    config = tiny_config(init="image", iterations=1, scales=1, optimizer="adam", learning_rate=1e-6, color="style")
    steps, result = paint(tiny, config, init=start)
    assert (result.image - start).abs().max() < 1e-3
    assert result.recipe.inputs.keys() == {"content", "style", "init"}
    assert steps[0].is_last


def test_start_image_is_cropped_not_stretched(tiny: Encoder) -> None:
    wide = torch.zeros(1, 3, 40, 168)
    wide[..., 56:112] = 1.0  # only the middle third, which a 56 px wide target keeps
    config = tiny_config(init="image", iterations=1, scales=1, optimizer="adam", learning_rate=1e-6, color="style")
    assert paint(tiny, config, init=wide)[1].image.mean() > 0.99


def test_init_image_requires_an_image(tiny: Encoder) -> None:
    with pytest.raises(ConfigError, match="go together"):
        paint(tiny, tiny_config(init="image"))
    with pytest.raises(ConfigError, match="go together"):
        paint(tiny, tiny_config(), init=picture(3))


def test_scales_go_from_coarse_to_fine(tiny: Encoder) -> None:
    steps, result = paint(tiny, tiny_config(iterations=3, scales=3))
    sizes = list(dict.fromkeys(tuple(step.image.shape[2:]) for step in steps))
    assert sizes == [(10, 14), (20, 28), (40, 56)]
    assert result.image.shape == (1, 3, 40, 56)
    assert [step.is_last for step in steps] == [False] * 8 + [True]
    evaluations = [step.evaluations for step in steps]
    assert evaluations == sorted(evaluations)


def test_style_is_resized_to_the_target_but_never_enlarged(tiny: Encoder) -> None:
    big, config = picture(2, 80, 112), tiny_config(iterations=1, scales=2)
    inputs = Inputs(content=picture(1), styles=(big,))
    engine = RecordingEngine(tiny)
    list(stylize_steps(inputs, config, engine=engine))

    for objective, long_side_px in zip(engine.objectives, (28, 56), strict=True):
        small = load(big, long_side_px=56).pixels
        expected = plain_objective(tiny, picture(1), resize(small, long_side_px * 5 // 7, long_side_px), config)
        for term, expected_term in zip(objective.style, expected.style, strict=True):
            torch.testing.assert_close(term.regions[0].value, expected_term.regions[0].value, rtol=1e-3, atol=1e-3)


def test_detail_transfer_adds_content_detail(tiny: Encoder) -> None:
    """The full-size scale starts from the enlarged target plus the detail that the content gains."""
    content = picture(1, 80, 112) + 0.05 * torch.randn(1, 3, 80, 112, generator=torch.Generator().manual_seed(9))
    content = content.clamp(0, 1)
    starts: dict[tuple[float, float], tuple[Tensor, Tensor]] = {}
    for detail, content_weight in ((0.0, 1.0), (1.0, 1.0), (1.0, 0.0)):
        engine = RecordingEngine(tiny)
        config = tiny_config(iterations=1, scales=2, clamp=False, detail_transfer=detail, content_weight=content_weight)
        coarse = next(stylize_steps(Inputs(content=content, styles=(picture(2),)), config, engine=engine)).image.clone()
        engine = RecordingEngine(tiny)
        list(stylize_steps(Inputs(content=content, styles=(picture(2),)), config, engine=engine))
        first = next(image for image, _ in engine.evaluations if image.shape[2:] == (80, 112))
        starts[detail, content_weight] = (first, resize(coarse, 80, 112))
    gained = content - resize(resize(content, 40, 56).clamp(0, 1), 80, 112)
    assert gained.abs().mean() > 0.01
    for (detail, content_weight), (start, plain) in starts.items():
        added = detail * gained if content_weight else torch.zeros_like(gained)
        torch.testing.assert_close(start, plain + added, rtol=0, atol=1e-5)


def test_stopped_run_gives_a_full_size_picture(tiny: Encoder) -> None:
    run = build_run(tiny, tiny_config(iterations=5, scales=2))
    steps = run.steps()
    next(steps)
    next(steps)
    steps.close()
    result = run.result()
    assert result.image.shape == (1, 3, 40, 56)
    assert result.recipe.stopped is not None
    assert (result.recipe.stopped.scale, result.recipe.stopped.iteration) == (1, 2)
    assert result.iterations == 0


def test_alpha_trades_content_for_style(tiny: Encoder) -> None:
    results = [
        paint(tiny, tiny_config(iterations=40, alpha=alpha, color="style"))[1].losses for alpha in (0.1, 1, 10, 100)
    ]
    content, style = [r["content"] for r in results], [r["style"] for r in results]
    assert content == sorted(content)
    assert style == sorted(style, reverse=True)


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_changing_alpha_resets_only_curvature(tiny: Encoder, optimizer: str) -> None:
    config = tiny_config(iterations=6, scales=1, optimizer=optimizer, style_loss="gram")
    inputs = Inputs(content=picture(1), styles=(picture(2),))
    engine = RecordingEngine(tiny)
    run_inputs = load_inputs(inputs, config, RunOptions(), engine)
    alphas = [1.0, 1.0, 1.0, 9.0, 9.0, 2.0]
    steps = []
    for step in method.stylize_steps(
        run_inputs, config, engine=engine, alpha_at=lambda scale, iteration: alphas[iteration - 1]
    ):
        steps.append((step.alpha, step.losses, step.state))
    assert [alpha for alpha, _, _ in steps] == alphas
    for alpha, losses, _ in steps:
        torch.testing.assert_close(losses.total, losses.content + alpha * losses.style)
    first, *others = engine.objectives
    assert len(others) == 2, "an evaluator for each alpha"
    assert all(other is first for other in others)
    if optimizer == "lbfgs":
        assert [len(state.steps) for _, _, state in steps if isinstance(state, LBFGSState)] == [1, 2, 3, 1, 2, 1]


def test_zero_content_weight_gives_pure_texture(tiny: Encoder) -> None:
    config = tiny_config(iterations=40, content_weight=0, scales=1, color="style")
    _, result = paint(tiny, config)
    assert result.losses["style"] < 0.01
    assert result.losses["total"] == pytest.approx(config.alpha * result.losses["style"])


def test_output_keeps_content_transparency(tiny: Encoder, tmp_path: Path) -> None:
    content = torch.cat([picture(1), torch.ones(1, 1, 40, 56)], dim=1)
    content[:, 3, :, :28] = 0
    _, result = paint(tiny, tiny_config(iterations=2), content=content)
    written = read_pixels(result.save(tmp_path / "out.png"))
    assert written.shape == (40, 56, 4)
    assert (written[:, :28, 3] == 0).all()
    assert (written[:, 28:, 3] == 255).all()


def test_content_is_enlarged_only_on_request(tiny: Encoder) -> None:
    assert paint(tiny, tiny_config(iterations=1, size=112))[1].image.shape[2:] == (40, 56)
    assert paint(tiny, tiny_config(iterations=1, size=112, enlarge=True))[1].image.shape[2:] == (80, 112)


@pytest.mark.parametrize("role", ["content", "style"])
def test_too_small_image_error_names_the_layer(tiny: Encoder, role: str) -> None:
    with pytest.raises(LayerError, match=rf"{role},? .*1x1 px is too small for relu2_1, which needs at least 2 px"):
        paint(
            tiny,
            tiny_config(iterations=1, scales=1),
            **{role: torch.rand(1, 3, 1, 1)} if role == "content" else {"styles": (torch.rand(1, 3, 1, 1),)},
        )


def test_narrow_style_keeps_the_minimum_size(tiny: Encoder) -> None:
    _, result = paint(tiny, tiny_config(iterations=1, scales=3), styles=(torch.rand(1, 3, 2, 56),))
    assert result.losses["style"] > 0


def test_invalid_images_are_refused_before_the_first_step(tiny: Encoder, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such file"):
        next(
            stylize_steps(
                Inputs(content=tmp_path / "none.png", styles=(picture(1),)), tiny_config(), engine=AutogradEngine(tiny)
            )
        )


def test_recipe_holds_names_without_paths(tiny: Encoder, photo: Path) -> None:
    style = NamedImage("sample:mine", picture(2))
    _, result = paint(tiny, tiny_config(iterations=1, size=32), content=photo, styles=(style,))
    recipe = result.recipe.to_json()
    assert result.recipe.inputs["content"].name == photo.name
    assert result.recipe.inputs["style"].name == "sample:mine"
    assert str(photo.parent) not in recipe


def test_pink_noise_spectrum_falls_as_one_over_f() -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.stack([pink_noise(torch.randn(256, 256, generator=generator)) for _ in range(8)])
    amplitude = torch.fft.rfft2(noise).abs().mean(dim=0)
    low, high = amplitude[0, 4:12].mean(), amplitude[0, 32:96].mean()
    assert float(low / high) == pytest.approx(8, rel=0.4)  # eight times the frequency, one eighth of the amplitude
    assert float(noise.std()) == pytest.approx(1, rel=1e-3)


def test_save_validates_its_arguments(tiny: Encoder, tmp_path: Path) -> None:
    _, result = paint(tiny, tiny_config(iterations=1))
    invalid: list[dict[str, Any]] = [{"bits": 7}, {"quality": 0}, {"quality": 1000}, {"intent": "best"}]
    for options in invalid:
        with pytest.raises(ConfigError):
            result.save(tmp_path / "o.png", **options)
    assert not list(tmp_path.iterdir())
