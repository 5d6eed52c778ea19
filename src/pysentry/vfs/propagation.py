"""Propagation: in which other mounts something is mounted or unmounted, too. Linux fs/pnode.c, mount_namespaces(7).

Owns peer groups, copies of trees of mounts, and where what happens in one mount is repeated. A mount is shared (it has
a group, whose members tell each other), a slave (a group is its master, which tells it), both, or neither: then it is
private, or unbindable. Peers show one file system, each a part of it, so a place of one is a place of another if both
lead to the same directory. Groups live in the sandbox; the host's mounts are in none.
"""

from __future__ import annotations

from pysentry.abi.errno import EINVAL, ENOSPC
from pysentry.platform.native import ffi, lib
from pysentry.vfs.dentry import Hold, dentry_name
from pysentry.vfs.filesystem import filesystem_of
from pysentry.vfs.filesystems.bind import BindFileSystem, make_bind_of
from pysentry.vfs.mounts import (
    SETTABLE,
    Mount,
    all_mounts,
    attach_mount,
    detach_mount,
    is_at_or_below,
    mount_of,
    mount_table,
    move_mount,
    put_mount,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDentry

MOUNTS_MAX = 10_000
"""Of all namespaces together (Linux has fs.mount-max): a recursive bind in a shared root doubles their number."""

PROPAGATIONS = ("shared", "slave", "private", "unbindable")

_last_group = 0


def _new_group() -> int:
    global _last_group
    _last_group += 1
    return _last_group


# ---- what a mount is ----------------------------------------------------------------------------------------------


def change(mount: Mount, kind: str) -> None:
    """Makes a mount one of PROPAGATIONS: change_mnt_propagation()."""
    if kind == "shared":
        mount.group = mount.group or _new_group()
        mount.sb.flags &= ~lib.SB_UNBINDABLE
        return
    if mount.group:
        left, mount.group = mount.group, 0
        if any(peer.group == left for peer in all_mounts()):
            mount.master = left if kind == "slave" else mount.master
        else:
            _pass_on(left, mount.master)
    if kind != "slave":
        mount.master = 0
        mount.sb.flags &= ~lib.SB_UNBINDABLE
        mount.sb.flags |= lib.SB_UNBINDABLE if kind == "unbindable" else 0


def _pass_on(group: int, master: int) -> None:
    """The slaves of a group that has no members left get their master's master."""
    for mount in all_mounts():
        if mount.master == group:
            mount.master = master


def drop_mount(mount: Mount) -> None:
    """Takes a mount out of the tree for good."""
    detach_mount(mount)
    change(mount, "private")


def visible_master(mount: Mount, root: CDentry) -> int:
    """The nearest group above a mount that has a member below a root directory; 0: none. get_dominating_id()."""
    seen = [each for each in mount_table(root) if each.sb.root == root or is_at_or_below(each, root)]
    group = mount.master
    while group and all(each.group != group for each in seen):
        group = next((each.master for each in all_mounts() if each.group == group), 0)
    return group


# ---- places and copies --------------------------------------------------------------------------------------------


def _shown(dentry: CDentry) -> CDentry:
    """What a dentry shows: itself, but in a bind."""
    file_system = filesystem_of(dentry.sb)
    return file_system.source_of(dentry) if isinstance(file_system, BindFileSystem) else dentry


def place_in(task: Task, mount: Mount, at: CDentry) -> CDentry | None:
    """Where another mount of the same file system shows a place; None: it does not show it."""
    source, top = _shown(at), _shown(mount.sb.root)
    names = []
    while source != top:
        if source.parent == source:
            return None
        names.append(dentry_name(source))
        source = source.parent
    place = mount.sb.root
    for name in reversed(names):
        found = filesystem_of(mount.sb).lookup(task, place, name)
        if found is None:
            return None
        place = found
    return place


def parts_of(top: CDentry) -> list[Mount]:
    """What is mounted below a place, parents before children."""
    return sorted((mount for mount in mount_table(top) if is_at_or_below(mount, top)), key=_depth)


def _depth(mount: Mount) -> int:
    depth, covered = 0, mount.sb.covered
    while covered != ffi.NULL:
        depth, covered = depth + 1, covered.sb.covered
    return depth


def copy_tree(
    task: Task, top: CDentry, is_recursive: bool, with_unbindable: bool = False
) -> list[tuple[Mount, Mount]]:
    """Shows a place, and what is mounted below it, once more, nowhere yet: (mount, its copy), parents first. Copies of
    a shared mount are its peers. EINVAL: the place was detached; ENOSPC: too many mounts."""
    parts = parts_of(top) if is_recursive else []
    _require_room(1 + len(parts))
    first = mount_of(top)
    pairs = [(first, _clone(first, top, None))]
    copies = {first.identity: pairs[0][1]}
    for mount in parts:
        parent = copies.get(int(mount.sb.covered.sb.id))
        if parent is None or (mount.sb.flags & lib.SB_UNBINDABLE and not with_unbindable):
            continue
        place = place_in(task, parent, mount.sb.covered)
        if place is not None:
            copy = copies[mount.identity] = _clone(mount, mount.sb.root, place)
            pairs.append((mount, copy))
    return pairs


def _clone(mount: Mount, top: CDentry, at: CDentry | None) -> Mount:
    copy = attach_mount(make_bind_of(top, top.sb.flags & SETTABLE), at, mount.source)
    copy.group, copy.master = mount.group, mount.master
    return copy


def _require_room(count: int) -> None:
    if len(all_mounts()) + count > MOUNTS_MAX:
        raise ENOSPC("mounts")


# ---- mounting -----------------------------------------------------------------------------------------------------


def graft(task: Task, mount: Mount, at: CDentry) -> None:
    """Puts a mount, with what is below it, at a place, and copies of both where peers and slaves of that place's mount
    show it: attach_recursive_mnt(). EINVAL: the place was detached; ENOSPC: too many mounts."""
    parent = mount_of(at)
    tree = [mount, *parts_of(mount.sb.root)]
    is_new = mount.sb.covered == ffi.NULL
    receivers, masters = _receivers(parent.group)
    itself = [parent, *tree] if is_new else [parent]
    found = [(other, place_in(task, other, at)) for other in receivers if other not in itself]
    wanted = [(other, place) for other, place in found if place is not None]
    _require_room(len(tree) * len(wanted))
    with Hold(at, *(place for _, place in wanted)):
        for part in tree if parent.group else ():
            part.group = part.group or _new_group()
        models = {parent.group: mount}  # by group: what its members get copies of
        made = []
        for other, place in wanted:  # masters before their slaves
            group = other.group if other.group in models else other.master
            while group not in models:
                group = masters[group]
            pairs = copy_tree(task, models[group].sb.root, is_recursive=True)
            made.append((pairs[0][1], place))
            if group != other.group:
                for original, copy in pairs:
                    copy.master, copy.group = original.group, _new_group() if other.group else 0
                if other.group:
                    models[other.group] = pairs[0][1]
        move_mount(mount, at)
        for copy, place in made:
            _put_below(copy, place)


def _put_below(mount: Mount, place: CDentry) -> None:
    """Moves a mount to a place, below what is mounted there already."""
    above = mount_of(place.mounted) if place.mounted != ffi.NULL else None
    if above is not None:
        detach_mount(above)
    move_mount(mount, place)
    if above is not None:
        put_mount(above, mount.sb.root)


def put_beneath(mount: Mount, top: Mount) -> None:
    """MOVE_MOUNT_BENEATH: between a mount and what it covers. EINVAL where that is shared: it would have to be beneath
    in the peers, too."""
    covered = top.sb.covered
    if mount_of(covered).group:
        raise EINVAL("beneath a mount in a shared one")
    with Hold(covered):
        _put_below(mount, covered)


def _receivers(group: int) -> tuple[list[Mount], dict[int, int]]:
    """Members of a group, their slaves, the peers of these, ...: masters first. And the master of each group but it."""
    found: list[Mount] = []
    masters: dict[int, int] = {}
    pending = [group] if group else []
    for group in pending:
        for mount in all_mounts():
            if mount.group == group or (mount.master == group and not mount.group):
                found.append(mount)
            elif mount.master == group and mount.group not in masters:
                masters[mount.group] = group
                pending.append(mount.group)
    return found, masters


# ---- unmounting ---------------------------------------------------------------------------------------------------


def echoes(task: Task, leaving: list[Mount]) -> list[Mount]:
    """What is unmounted together with `leaving` (parents first): the mounts at the same places of peers and slaves, but
    for those in which something else is mounted. propagate_umount()."""
    found: list[Mount] = []
    for mount in leaving:
        parent = mount_of(mount.sb.covered)
        for other in _receivers(parent.group)[0]:
            place = None if other is parent else place_in(task, other, mount.sb.covered)
            if place is not None and place.mounted != ffi.NULL:
                echo = mount_of(place.mounted)
                if echo not in leaving and echo not in found:
                    found.append(echo)
    while True:
        going = {mount.identity for mount in (*leaving, *found)}
        kept = {
            int(each.sb.covered.sb.id)
            for each in all_mounts()
            if each.identity not in going and each.sb.covered != ffi.NULL and each.sb.covered != each.sb.covered.sb.root
        }
        if not any(echo.identity in kept for echo in found):
            return found
        found = [echo for echo in found if echo.identity not in kept]


def take_off(mount: Mount) -> None:
    """Unmounts; what covers all of it comes to be where it was."""
    covered, above = mount.sb.covered, mount.sb.root.mounted
    with Hold(covered):
        top = mount_of(above) if above != ffi.NULL else None
        if top is not None:
            detach_mount(top)
        drop_mount(mount)
        if top is not None:
            put_mount(top, covered)
