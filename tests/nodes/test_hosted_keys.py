"""Keys of providers: where they are looked for, and that nothing shows them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import keyring
import pytest
from phloem.nodes.services.models.hosted import keys
from phloem.nodes.services.models.hosted.hiding import hidden
from phloem.nodes.services.models.hosted.presets import PRESETS
from phloem.runtime.errors import ConfigError, InputError
from support.hosted import KEY
from support.keyring_in_memory import BrokenKeyring, MemoryKeyring

pytest_plugins = ["support.hosted_fixtures"]


def test_the_environment_goes_first_then_the_keyring(bare: pytest.MonkeyPatch) -> None:
    assert keys.find("openai") is None
    assert keys.where("openai") is None
    keys.store("openai", f"  {KEY}\n")
    assert keys.find("openai") == KEY
    assert keys.where("openai") == "keyring"
    bare.setenv("OPENAI_API_KEY", "sk-from-the-environment")
    assert keys.find("openai") == "sk-from-the-environment"
    assert keys.where("openai") == "environment variable OPENAI_API_KEY"
    bare.setenv("OPENAI_API_KEY", "  ")
    assert keys.find("openai") == KEY
    keys.remove("openai")
    assert keys.find("openai") is None
    with pytest.raises(ConfigError, match="no key for openai"):
        keys.remove("openai")


@pytest.mark.parametrize("provider", sorted(PRESETS))
def test_every_provider_has_its_variables(bare: pytest.MonkeyPatch, provider: str) -> None:
    for name in reversed(keys.variables(provider)):
        bare.setenv(name, f"key-in-{name}")
        assert keys.find(provider) == f"key-in-{name}"
        assert keys.where(provider) == f"environment variable {name}"
    assert keys.variables(provider)


def test_a_name_of_the_users_own(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("MY_LAB_API_KEY", "key-of-the-lab")
    bare.setenv("OTHER_KEY", "another-key")
    assert keys.find("my-lab") == "key-of-the-lab"
    assert keys.find("OTHER_KEY") == "another-key"
    assert keys.find("https://lab.example") is None
    keys.store("https://lab.example", KEY)
    assert keys.find("https://lab.example") == KEY


@pytest.mark.parametrize("key", ["", "  ", "two words", "line\nbreak", "kéy", "x" * 10_001, "nul\0"])
def test_what_is_no_key_is_not_stored(bare: pytest.MonkeyPatch, key: str) -> None:
    with pytest.raises(InputError, match="not a key") as caught:
        keys.store("openai", key)
    assert not key.strip() or key.strip() not in str(caught.value)
    assert keys.find("openai") is None


@pytest.mark.parametrize("key", ["sk-kéy-0123456789", "sk-line\nbreak-0123"])
def test_what_no_server_can_be_sent_is_told_with_its_place(bare: pytest.MonkeyPatch, key: str) -> None:
    bare.setenv("OPENAI_API_KEY", key)
    with pytest.raises(ConfigError, match="the environment variable OPENAI_API_KEY has for a key is none") as caught:
        keys.find("openai")
    assert "0123" not in str(caught.value)
    bare.delenv("OPENAI_API_KEY")
    keyring.set_password(keys.SERVICE, "openai", key)
    with pytest.raises(ConfigError, match="the keyring has for a key is none"):
        keys.find("openai")


def test_a_keyring_that_fails_is_one_without_keys(bare: pytest.MonkeyPatch) -> None:
    keyring.set_keyring(BrokenKeyring())
    assert keys.find("openai") is None
    assert keys.where("openai") is None
    with pytest.raises(ConfigError, match="keyring of this system cannot be used") as caught:
        keys.store("openai", KEY)
    assert "environment variable OPENAI_API_KEY" in str(caught.value)
    failure: BaseException | None = caught.value
    while failure is not None:
        assert KEY not in repr(failure)
        failure = failure.__cause__ or failure.__context__


def test_a_machine_without_a_keyring(bare: pytest.MonkeyPatch) -> None:
    from keyring.backends import fail

    keyring.set_keyring(fail.Keyring())
    assert keys.find("openai") is None
    for action in (lambda: keys.store("openai", KEY), lambda: keys.remove("openai")):
        with pytest.raises(ConfigError, match="NoKeyringError") as caught:
            action()
        assert "OPENAI_API_KEY" in str(caught.value)


def test_a_keyring_in_a_plain_file_is_none(bare: pytest.MonkeyPatch) -> None:
    class PlaintextKeyring(MemoryKeyring):
        priority = -1  # type: ignore[assignment]

    plain = PlaintextKeyring()
    keyring.set_keyring(plain)
    with pytest.raises(ConfigError, match="for anyone to read"):
        keys.store("openai", KEY)
    assert plain.held == {}


def test_without_the_library_the_environment_is_enough(bare: pytest.MonkeyPatch) -> None:
    bare.setitem(sys.modules, "keyring", None)
    assert keys.find("openai") is None
    bare.setenv("OPENAI_API_KEY", KEY)
    assert keys.find("openai") == KEY
    with pytest.raises(ConfigError, match="needs an extra") as caught:
        keys.store("openai", KEY)
    assert 'pip install "phloem[openai]"' in str(caught.value)


def test_secrets_are_known(bare: pytest.MonkeyPatch) -> None:
    keys.store("groq", "gsk_StoredInTheKeyring00")
    bare.setenv("MISTRAL_API_KEY", "from-the-environment-123")
    bare.setenv("SOMETHING_ELSE_TOKEN", "a-token-of-something")
    bare.setenv("A_SHORT_KEY", "yes")
    known = keys.known_secrets()
    assert {"gsk_StoredInTheKeyring00", "from-the-environment-123", "a-token-of-something"} <= known
    assert "yes" not in known


def test_texts_lose_their_secrets(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("OPENAI_API_KEY", KEY)
    assert hidden(f"a {KEY} b") == "a [key] b"
    assert hidden(f"a {KEY[:9]}, b {KEY[9:]}") == "a [key], b [key]"
    assert hidden("a sk-ab**********************wxyz b") == "a [key] b"
    assert hidden("Authorization: Bearer abc.def") == "Authorization: [key]"
    assert hidden("short-key: tiny", ["tiny"]) == "short-key: [key]"
    assert hidden("nothing to see, 12 tokens at most") == "nothing to see, 12 tokens at most"
    assert hidden("") == ""


SERVICE = """
import sys
sys.path[:0] = {paths!r}
from phloem.nodes.services.models.hosted import keys
import keyring
name = type(keyring.get_keyring()).__module__
print(name)
if "SecretService" in name or "chainer" in name:
    keys.store("openai", {key!r})
    assert keys.find("openai") == {key!r}
    assert keys.where("openai") == "keyring"
    keys.remove("openai")
    assert keys.find("openai") is None
    print("kept and forgotten")
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not (shutil.which("gnome-keyring-daemon") and shutil.which("dbus-run-session")),
    reason="needs gnome-keyring-daemon and dbus-run-session",
)
def test_a_real_secret_service(tmp_path: Path) -> None:
    paths = [str(Path(__file__).parents[2] / part) for part in ("nodes", "runtime")]
    script = tmp_path / "script.py"
    script.write_text(SERVICE.format(paths=paths, key=KEY))
    shell = (
        f'echo -n pass | gnome-keyring-daemon --unlock --components=secrets >/dev/null && "{sys.executable}" "{script}"'
    )
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "XDG_DATA_HOME": str(tmp_path),
        "XDG_RUNTIME_DIR": str(tmp_path),
    }
    environment.pop("OPENAI_API_KEY", None)
    environment.pop("PYTHON_KEYRING_BACKEND", None)
    done = subprocess.run(
        ["dbus-run-session", "--", "sh", "-c", shell], env=environment, capture_output=True, text=True, timeout=60
    )
    assert "kept and forgotten" in done.stdout, done.stdout + done.stderr
    # Nothing but the encrypted keyring was written.
    for file in tmp_path.rglob("*"):
        if file.is_file() and file != script and "__pycache__" not in file.parts:
            assert KEY.encode() not in file.read_bytes()
