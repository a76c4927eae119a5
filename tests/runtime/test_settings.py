"""The settings file: what it says, what is wrong with it, and how it is changed."""

from __future__ import annotations

import pytest
import yaml
from phloem.runtime.errors import ConfigError
from phloem.runtime.home import Home
from phloem.runtime.settings import LARGEST, Settings, byte_count

FILE = """\
# of mine
models:
  default: local:mine   # the good one
  memory: 8GB
  gpu_layers: 0
providers:
  lab: {url: "http://10.0.0.5:8000/v1", key: LAB_KEY}
prices:
  "openai:gpt-5": {in: 1.25, out: 10}
later: {what: a newer version knows}
"""


def written(home: Home, text: str | bytes) -> Settings:
    home.path.mkdir(parents=True, exist_ok=True)
    data = text.encode() if isinstance(text, str) else text
    (home.path / "settings.yaml").write_bytes(data)
    return Settings.load(home)


def test_a_file_is_read_by_its_sections(home):
    settings = written(home, FILE)
    assert settings.text("models", "default") == "local:mine"
    assert settings.text("models", "embedding") == ""
    assert settings.bytes("models", "memory") == 8 * 10**9
    assert settings.whole("models", "gpu_layers") == 0
    assert settings.whole("models", "threads") is None
    assert settings.bytes("models", "absent") is None
    assert settings.providers == {"lab": {"url": "http://10.0.0.5:8000/v1", "key": "LAB_KEY"}}
    assert settings.prices["openai:gpt-5"] == {"in": 1.25, "out": 10}


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "null\n", "models:\n", "models: {}\n", "---\n"])
def test_a_file_that_says_nothing_has_no_settings(home, text):
    settings = written(home, text)
    assert (dict(settings.models), dict(settings.providers), dict(settings.prices)) == ({}, {}, {})


def test_without_a_file_there_are_no_settings(home, tmp_path):
    assert dict(Settings.load(home).models) == {}
    assert dict(Settings.load(Home(tmp_path / "absent" / "home")).models) == {}
    (tmp_path / "file").write_text("x")
    assert dict(Settings.load(Home(tmp_path / "file")).models) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models: [", "settings.yaml:1: not YAML"), ("a: b: c", "settings.yaml:1: not YAML"), ("a: 1\n\tb: 2\n", "settings.yaml:2: not YAML"),
        ("[1, 2]", "settings are names with values"), ("text", "settings are names with values"), ("1: 2", "settings are names with values"),
        (b"\xff\xfe", "not a text in UTF-8"), ("a: " + "x" * LARGEST, "larger than 1,000,000 bytes"), ("[" * 100_000, "not YAML"),
        ("a: !!python/object/apply:os.system [exit]", "not YAML"), ("a: \x07", "not YAML"), ("a: !!int ''", "not YAML"),
        ("a: !!timestamp now", "not YAML"), ("a: !!bool maybe", "not YAML"),
    ],
)  # fmt: skip
def test_a_file_that_is_none_is_told_with_its_place(home, text, message):
    with pytest.raises(ConfigError) as refused:
        written(home, text)
    assert message in refused.value.message
    assert str(home.path / "settings.yaml") in refused.value.message
    assert len(refused.value.message) < 600


def test_what_lies_where_the_file_should_be_is_told(home):
    (home.path / "settings.yaml").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"cannot read .*settings\.yaml: is a directory"):
        Settings.load(home)


@pytest.mark.parametrize(
    ("text", "ask", "message"),
    [
        ("models: 5", lambda one: one.models, "models must have names with values below it"),
        ("models: []", lambda one: one.models, "models must have names with values below it"),
        ("providers: {1: {url: x}}", lambda one: one.providers, "1 in providers is not a name"),
        ("models: {default: 5}", lambda one: one.text("models", "default"), "models.default is 5, and must be a text"),
        ("models: {threads: two}", lambda one: one.whole("models", "threads"), "models.threads is 'two', and must be a whole number, 0 or more"),
        ("models: {threads: 0}", lambda one: one.whole("models", "threads", 1), "models.threads is 0, and must be a whole number, 1 or more"),
        ("models: {threads: true}", lambda one: one.whole("models", "threads"), "models.threads is True, and must be"),
        ("models: {memory: much}", lambda one: one.bytes("models", "memory"), "models.memory is 'much', and must be an amount of memory, such as 8GB"),
        ("models: {memory: 0}", lambda one: one.bytes("models", "memory"), "models.memory is 0, and"),
        ("models: {default: [" + "1, " * 500 + "1]}", lambda one: one.text("models", "default"), "must be a text"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_told_with_its_name_and_its_rule(home, text, ask, message):
    settings = written(home, text)
    with pytest.raises(ConfigError) as refused:
        ask(settings)
    assert message in refused.value.message
    assert len(refused.value.message) < 500


@pytest.mark.parametrize("ask", [lambda one: one.listed("deny"), lambda one: one.switch("offline")])
def test_what_a_merge_brings_is_not_passed_over(home, ask):
    settings = written(home, "base: &base {deny: [net=example.org], offline: true}\n<<: *base\n")
    with pytest.raises(ConfigError, match="comes from elsewhere in the file"):
        ask(settings)


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (500_000, 500_000), ("500000", 500_000), ("8GB", 8 * 10**9), ("8 gb", 8 * 10**9), ("1.5 GiB", 3 * 2**29), ("512MiB", 2**29),
        ("2tb", 2 * 10**12), ("1KB", 1000), ("1 b", 1), (" 3 MB ", 3 * 10**6),
        (0, None), (-1, None), (True, None), (1.5, None), (None, None), ("", None), ("GB", None), ("0", None), ("-1GB", None),
        ("8 parsecs", None), ("1e9", None), ("８GB", None), (["8GB"], None), ("9" * 400 + "GB", None),
    ],
)  # fmt: skip
def test_amounts_of_memory(value, count):
    assert byte_count(value) == count


def test_a_change_makes_other_settings_and_is_written_when_it_is_saved(home):
    settings = written(home, FILE)
    changed = settings.changed("models", "default", "local:other").changed("models", "threads", 2)
    assert settings.text("models", "default") == "local:mine"
    assert changed.text("models", "default") == "local:other"
    assert Settings.load(home).text("models", "default") == "local:mine", "nothing is written yet"
    changed.save()
    again = Settings.load(home)
    assert (again.text("models", "default"), again.whole("models", "threads")) == ("local:other", 2)
    text = (home.path / "settings.yaml").read_text()
    assert "# of mine" in text
    assert yaml.safe_load(text)["later"] == {"what": "a newer version knows"}, "what it does not know it keeps"


def test_a_setting_is_taken_away(home):
    settings = written(home, FILE)
    gone = settings.changed("models", "default", None)
    assert gone.text("models", "default") == ""
    assert gone.bytes("models", "memory") == 8 * 10**9
    last = settings.changed("prices", "openai:gpt-5", None)
    assert dict(last.prices) == {}
    assert dict(last.providers) == dict(settings.providers)


@pytest.mark.parametrize("text", [FILE, "models:\n  # default: local:mine\n", "# none\n", ""])
def test_what_is_not_there_is_taken_away_without_a_trace(home, text):
    written(home, text).changed("models", "embedding", None).save()
    assert (home.path / "settings.yaml").read_text() == text


def test_a_file_behind_a_link_is_changed_and_the_link_stays(home, tmp_path):
    home.path.mkdir(parents=True, exist_ok=True)
    (tmp_path / "own.yaml").write_text(FILE)
    (home.path / "settings.yaml").symlink_to(tmp_path / "own.yaml")
    Settings.load(home).changed("models", "default", "local:other").save()
    assert (home.path / "settings.yaml").is_symlink()
    assert (tmp_path / "own.yaml").read_text() == FILE.replace("local:mine", "local:other")


def test_settings_are_made_where_there_were_none(home):
    Settings.load(home).changed("models", "default", "local:mine").save()
    assert Settings.load(home).text("models", "default") == "local:mine"


def test_what_cannot_be_written_is_told(home, tmp_path):
    (tmp_path / "file").write_text("x")
    settings = Settings.load(Home(tmp_path / "file")).changed("models", "default", "local:mine")
    with pytest.raises(ConfigError, match="cannot write"):
        settings.save()
