"""Linux error numbers as exception classes: `raise ENOENT("no such mount")`.

Owns the classes and the two ways in from plain numbers (`LinuxError.from_errno`, `from_oserror`). Turning a
raised one into the -errno that the workload sees is done once, in platform/dispatch. Numbers: errno(3), x86-64.

Frequent errors (EAGAIN, ENOENT of a lookup) are made in C where that matters: a raise costs 0.5 us.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType


class LinuxError(Exception):
    """An error a system call ends with. Subclasses set `errno`; the message is for our own logs."""

    errno: int = 0

    @staticmethod
    def from_errno(number: int) -> LinuxError:
        """The exception for a positive error number; EIO for one that Linux does not have."""
        return BY_NUMBER.get(number, EIO)(f"errno {number}")


def from_errno(number: int) -> LinuxError:
    """The exception for a positive error number."""
    return LinuxError.from_errno(number)


def from_oserror(error: OSError) -> LinuxError:
    """The exception for what a host call of the sentry ended with."""
    return LinuxError.from_errno(error.errno or 5)


def check(result: int) -> int:
    """A result of the C side (value, or -errno): the value, or the exception."""
    if result < 0:
        raise LinuxError.from_errno(-result)
    return result


class _HostErrors:
    __slots__ = ()

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, OSError):
            raise from_oserror(error) from error


_HOST_ERRORS = _HostErrors()


def host_errors() -> _HostErrors:
    """`with host_errors():` turns an OSError of the host calls inside into its LinuxError."""
    return _HOST_ERRORS


BY_NUMBER: dict[int, type[LinuxError]] = {}


def _error(name: str, number: int) -> type[LinuxError]:
    made = type(name, (LinuxError,), {"errno": number, "__module__": __name__})
    BY_NUMBER[number] = made
    return made


EPERM = _error("EPERM", 1)
ENOENT = _error("ENOENT", 2)
ESRCH = _error("ESRCH", 3)
EINTR = _error("EINTR", 4)
EIO = _error("EIO", 5)
ENXIO = _error("ENXIO", 6)
E2BIG = _error("E2BIG", 7)
ENOEXEC = _error("ENOEXEC", 8)
EBADF = _error("EBADF", 9)
ECHILD = _error("ECHILD", 10)
EAGAIN = _error("EAGAIN", 11)
ENOMEM = _error("ENOMEM", 12)
EACCES = _error("EACCES", 13)
EFAULT = _error("EFAULT", 14)
ENOTBLK = _error("ENOTBLK", 15)
EBUSY = _error("EBUSY", 16)
EEXIST = _error("EEXIST", 17)
EXDEV = _error("EXDEV", 18)
ENODEV = _error("ENODEV", 19)
ENOTDIR = _error("ENOTDIR", 20)
EISDIR = _error("EISDIR", 21)
EINVAL = _error("EINVAL", 22)
ENFILE = _error("ENFILE", 23)
EMFILE = _error("EMFILE", 24)
ENOTTY = _error("ENOTTY", 25)
ETXTBSY = _error("ETXTBSY", 26)
EFBIG = _error("EFBIG", 27)
ENOSPC = _error("ENOSPC", 28)
ESPIPE = _error("ESPIPE", 29)
EROFS = _error("EROFS", 30)
EMLINK = _error("EMLINK", 31)
EPIPE = _error("EPIPE", 32)
EDOM = _error("EDOM", 33)
ERANGE = _error("ERANGE", 34)
EDEADLK = _error("EDEADLK", 35)
ENAMETOOLONG = _error("ENAMETOOLONG", 36)
ENOLCK = _error("ENOLCK", 37)
ENOSYS = _error("ENOSYS", 38)
ENOTEMPTY = _error("ENOTEMPTY", 39)
ELOOP = _error("ELOOP", 40)
ENOMSG = _error("ENOMSG", 42)
EIDRM = _error("EIDRM", 43)
ECHRNG = _error("ECHRNG", 44)
EL2NSYNC = _error("EL2NSYNC", 45)
EL3HLT = _error("EL3HLT", 46)
EL3RST = _error("EL3RST", 47)
ELNRNG = _error("ELNRNG", 48)
EUNATCH = _error("EUNATCH", 49)
ENOCSI = _error("ENOCSI", 50)
EL2HLT = _error("EL2HLT", 51)
EBADE = _error("EBADE", 52)
EBADR = _error("EBADR", 53)
EXFULL = _error("EXFULL", 54)
ENOANO = _error("ENOANO", 55)
EBADRQC = _error("EBADRQC", 56)
EBADSLT = _error("EBADSLT", 57)
EBFONT = _error("EBFONT", 59)
ENOSTR = _error("ENOSTR", 60)
ENODATA = _error("ENODATA", 61)
ETIME = _error("ETIME", 62)
ENOSR = _error("ENOSR", 63)
ENONET = _error("ENONET", 64)
ENOPKG = _error("ENOPKG", 65)
EREMOTE = _error("EREMOTE", 66)
ENOLINK = _error("ENOLINK", 67)
EADV = _error("EADV", 68)
ESRMNT = _error("ESRMNT", 69)
ECOMM = _error("ECOMM", 70)
EPROTO = _error("EPROTO", 71)
EMULTIHOP = _error("EMULTIHOP", 72)
EDOTDOT = _error("EDOTDOT", 73)
EBADMSG = _error("EBADMSG", 74)
EOVERFLOW = _error("EOVERFLOW", 75)
ENOTUNIQ = _error("ENOTUNIQ", 76)
EBADFD = _error("EBADFD", 77)
EREMCHG = _error("EREMCHG", 78)
ELIBACC = _error("ELIBACC", 79)
ELIBBAD = _error("ELIBBAD", 80)
ELIBSCN = _error("ELIBSCN", 81)
ELIBMAX = _error("ELIBMAX", 82)
ELIBEXEC = _error("ELIBEXEC", 83)
EILSEQ = _error("EILSEQ", 84)
ERESTART = _error("ERESTART", 85)
ESTRPIPE = _error("ESTRPIPE", 86)
EUSERS = _error("EUSERS", 87)
ENOTSOCK = _error("ENOTSOCK", 88)
EDESTADDRREQ = _error("EDESTADDRREQ", 89)
EMSGSIZE = _error("EMSGSIZE", 90)
EPROTOTYPE = _error("EPROTOTYPE", 91)
ENOPROTOOPT = _error("ENOPROTOOPT", 92)
EPROTONOSUPPORT = _error("EPROTONOSUPPORT", 93)
ESOCKTNOSUPPORT = _error("ESOCKTNOSUPPORT", 94)
EOPNOTSUPP = _error("EOPNOTSUPP", 95)
EPFNOSUPPORT = _error("EPFNOSUPPORT", 96)
EAFNOSUPPORT = _error("EAFNOSUPPORT", 97)
EADDRINUSE = _error("EADDRINUSE", 98)
EADDRNOTAVAIL = _error("EADDRNOTAVAIL", 99)
ENETDOWN = _error("ENETDOWN", 100)
ENETUNREACH = _error("ENETUNREACH", 101)
ENETRESET = _error("ENETRESET", 102)
ECONNABORTED = _error("ECONNABORTED", 103)
ECONNRESET = _error("ECONNRESET", 104)
ENOBUFS = _error("ENOBUFS", 105)
EISCONN = _error("EISCONN", 106)
ENOTCONN = _error("ENOTCONN", 107)
ESHUTDOWN = _error("ESHUTDOWN", 108)
ETOOMANYREFS = _error("ETOOMANYREFS", 109)
ETIMEDOUT = _error("ETIMEDOUT", 110)
ECONNREFUSED = _error("ECONNREFUSED", 111)
EHOSTDOWN = _error("EHOSTDOWN", 112)
EHOSTUNREACH = _error("EHOSTUNREACH", 113)
EALREADY = _error("EALREADY", 114)
EINPROGRESS = _error("EINPROGRESS", 115)
ESTALE = _error("ESTALE", 116)
EUCLEAN = _error("EUCLEAN", 117)
ENOTNAM = _error("ENOTNAM", 118)
ENAVAIL = _error("ENAVAIL", 119)
EISNAM = _error("EISNAM", 120)
EREMOTEIO = _error("EREMOTEIO", 121)
EDQUOT = _error("EDQUOT", 122)
ENOMEDIUM = _error("ENOMEDIUM", 123)
EMEDIUMTYPE = _error("EMEDIUMTYPE", 124)
ECANCELED = _error("ECANCELED", 125)
ENOKEY = _error("ENOKEY", 126)
EKEYEXPIRED = _error("EKEYEXPIRED", 127)
EKEYREVOKED = _error("EKEYREVOKED", 128)
EKEYREJECTED = _error("EKEYREJECTED", 129)
EOWNERDEAD = _error("EOWNERDEAD", 130)
ENOTRECOVERABLE = _error("ENOTRECOVERABLE", 131)
ERFKILL = _error("ERFKILL", 132)

EWOULDBLOCK = EAGAIN
EDEADLOCK = EDEADLK
ENOTSUP = EOPNOTSUPP

# In-kernel codes that only a parked call's answer carries: the host turns them into EINTR or a restart.
ERESTARTSYS = _error("ERESTARTSYS", 512)
ERESTARTNOHAND = _error("ERESTARTNOHAND", 514)
