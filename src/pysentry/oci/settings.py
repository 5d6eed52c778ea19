"""What the operator decides: by flags, allowed annotations, configuration files and defaults, in this order.

Owns the keys, their values and where they come from. /etc/pysentry/config.toml is the machine's file,
$XDG_CONFIG_HOME/pysentry/config.toml (~/.config) the user's. Does not own how flags are spelled (cli).
"""

from __future__ import annotations

import os

from pysentry.oci.document import MOST_BYTES, words
from pysentry.oci.errors import SettingsError
from pysentry.sandbox.config import PLATFORMS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

SYSTEM_FILE = "/etc/pysentry/config.toml"
ANNOTATION_PREFIX = "dev.pysentry."
NETWORKS = ("auto", "none", "host")
"""auto: as config.json's namespaces say."""

# Key -> the words that it may be, or what kind of value it is.
KEYS: dict[str, tuple[str, ...] | str] = {
    "root": "path",
    "log": "path",
    "log_format": ("text", "json"),
    "debug": "flag",
    "systemd_cgroup": "flag",
    "cgroup_manager": ("cgroupfs", "systemd", "disabled"),
    "rootless": ("auto", "true", "false"),
    "platform": PLATFORMS,
    "network": NETWORKS,
    "overlay": "flag",
    "fast_path": "flag",
    "allowed_annotations": "annotations",
}
ANNOTATABLE = ("debug", "fast_path", "network", "overlay", "platform")
"""What one container may have differently from others. Everything else is about the runtime itself."""
ANNOTATIONS = tuple(ANNOTATION_PREFIX + key for key in ANNOTATABLE)


class Settings:
    """Every key has a value. root, log: "" if nobody gave one. cgroup_manager: disabled: containers stay in
    our caller's cgroup; the others are one, we ask no systemd. overlay: an overlay in memory over the root file system
    instead of changing it. allowed_annotations: full names."""

    __slots__ = (*KEYS, "_flags")

    def __init__(self) -> None:
        self.root = ""
        self.log = ""
        self.log_format = "text"
        self.debug = False
        self.systemd_cgroup = False
        self.cgroup_manager = "cgroupfs"
        self.rootless = "auto"
        self.platform = "auto"
        self.network = "auto"
        self.overlay = False
        self.fast_path = True
        self.allowed_annotations: tuple[str, ...] = ()
        self._flags: frozenset[str] = frozenset()

    @property
    def is_rootless(self) -> bool:
        """Whether a container goes without the cgroup that we are not permitted to make. auto is, as with runc, true
        for all but the host's root."""
        if self.rootless != "auto":
            return self.rootless == "true"
        from pysentry.sandbox.host_user import is_in_user_namespace

        return os.geteuid() != 0 or is_in_user_namespace()

    def with_annotations(self, annotations: Mapping[str, str]) -> tuple[Settings, list[str]]:
        """What holds for one container, and warnings about annotations of ours that are not heeded.

        Raises:
            SettingsError: an allowed annotation has a value that cannot be used.
        """
        mine = Settings()
        for key in KEYS:
            setattr(mine, key, getattr(self, key))
        warnings = []
        for name, value in sorted(annotations.items()):
            if not name.startswith(ANNOTATION_PREFIX):
                continue
            key = name.removeprefix(ANNOTATION_PREFIX)
            if name not in ANNOTATIONS:
                warnings.append(f"annotation {name!a} is not known and is ignored")
            elif name not in self.allowed_annotations:
                warnings.append(f"annotation {name} is not in allowed_annotations and is ignored")
            elif key not in self._flags:
                setattr(mine, key, _value(key, value, f"annotation {name}"))
        return mine, warnings


def load_settings(flags: Mapping[str, object], environ: Mapping[str, str] | None = None) -> Settings:
    """Settings of this call.

    Args:
        flags: by key, only those that were on the command line: bool, or str as it was typed.
        environ: XDG_CONFIG_HOME and HOME are looked up here; our own environment by default.

    Raises:
        SettingsError: names the file (or flag) and the key.
    """
    settings = Settings()
    user_file = _user_file(os.environ if environ is None else environ)
    for path in (SYSTEM_FILE, user_file):
        for key, value in _read(path).items() if path else ():
            if key not in KEYS:
                raise SettingsError(f"{path}: unknown key {key!a}")
            setattr(settings, key, _value(key, value, f"{path}: {key}"))
    for key, value in flags.items():
        setattr(settings, key, _value(key, value, "--" + key.replace("_", "-")))
    settings._flags = frozenset(flags)
    return settings


def _user_file(environ: Mapping[str, str]) -> str:
    """ "" if there is no place for one. Relative paths are ignored, as the XDG specification wants it."""
    home = environ.get("XDG_CONFIG_HOME", "")
    if not home.startswith("/"):
        if not environ.get("HOME", "").startswith("/"):
            return ""
        home = os.path.join(environ["HOME"], ".config")
    return os.path.join(home, "pysentry", "config.toml")


def _read(path: str) -> Mapping[str, object]:
    try:
        with open(path, "rb") as file:
            data = file.read(MOST_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        if isinstance(error, PermissionError) and path != SYSTEM_FILE and _is_below_somebody_elses(path):
            return {}
        raise SettingsError(f"{path}: {words(error)}") from None
    import tomllib

    try:
        return tomllib.loads(data.decode())
    except RecursionError:
        raise SettingsError(f"{path}: nested too deeply") from None
    except ValueError as error:  # not TOML, or not UTF-8
        raise SettingsError(f"{path}: {error}") from None


def _is_below_somebody_elses(path: str) -> bool:
    """Whether a directory on the way is another user's and closed to us, as HOME often is after su or setpriv: what is
    in it is not for us. A file that we see but may not read, or a directory of our own that is closed, is a mistake."""
    if os.path.lexists(path):
        return False
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return os.stat(path).st_uid != os.geteuid()


def _value(key: str, value: object, where: str) -> object:
    """The value of a key, of whatever a file, a flag or an annotation gave. SettingsError begins with `where`."""
    kind = KEYS[key]
    if kind == "annotations":
        return _annotations(value, where)
    if type(value) is bool and kind != "path":
        value = "true" if value else "false"
    if type(value) is not str or "\0" in value:
        wanted = "true or false" if kind == "flag" else "a string"
        raise SettingsError(f"{where}: expected {wanted}, got {value!a}")
    if kind == "path":
        return value
    choices = ("true", "false") if kind == "flag" else kind
    if value not in choices:
        raise SettingsError(f"{where}: expected one of {', '.join(choices)}, got {value!a}")
    return value == "true" if kind == "flag" else value


def _annotations(value: object, where: str) -> tuple[str, ...]:
    if type(value) is not list:
        raise SettingsError(f"{where}: expected an array of names, got {value!a}")
    for name in value:
        if name not in ANNOTATIONS:
            raise SettingsError(f"{where}: expected names of {', '.join(ANNOTATIONS)}, got {name!a}")
    return tuple(value)
