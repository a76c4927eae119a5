"""A keyring for tests: a backend of the keyring library like any other, which forgets when the process ends."""

from __future__ import annotations

import keyring.backend
import keyring.errors

__all__ = ["BrokenKeyring", "MemoryKeyring"]


class MemoryKeyring(keyring.backend.KeyringBackend):
    """Holds passwords in a dict. Its priority keeps it from being chosen by itself."""

    priority = -1  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.held.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.held[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if (service, username) not in self.held:
            raise keyring.errors.PasswordDeleteError("not found")
        del self.held[service, username]


class BrokenKeyring(MemoryKeyring):
    """Fails at everything, and says what it was given."""

    def get_password(self, service: str, username: str) -> str | None:
        raise RuntimeError(f"cannot look up {username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        raise RuntimeError(f"cannot keep {password}")
