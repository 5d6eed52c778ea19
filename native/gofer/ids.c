/*
 * Owners of files: from the number that the gofer sees to the one that the sandbox sees, and back.
 *
 * Owns struct gofer_id_map. An id that has no number in the sandbox shows as 65534, and one of the sandbox that has none on
 * the host cannot own a file there (EINVAL, as chown(2) in a user namespace).
 */
#include <errno.h>
#include <stdlib.h>

#include "server.h"

/* In a user namespace: ids without a mapping (shown as `overflow`) become 0, and our own ids the host's again. */
void gofer_server_map_ids(struct gofer_server *server, uint32_t overflow, uint32_t uid_inside, uint32_t uid,
                          uint32_t gid_inside, uint32_t gid)
{
    struct gofer_id_map *maps[] = {&server->uid_map, &server->gid_map};
    const uint32_t inside[] = {uid_inside, gid_inside}, outside[] = {uid, gid};

    for (int i = 0; i < 2; i++) {
        maps[i]->overflow = overflow;
        maps[i]->inside = inside[i];
        maps[i]->outside = outside[i];
    }
}

/* One more range of the sandbox's ids. Returns 0, -EINVAL (numbers that do not exist) or -ENOSPC. */
int gofer_server_add_range(struct gofer_server *server, int is_group, uint32_t inside, uint32_t host, uint32_t count)
{
    struct gofer_id_map *map = is_group ? &server->gid_map : &server->uid_map;

    if (count == 0 || inside + count - 1 < inside || host + count - 1 < host || inside + count - 1 == GOFER_NO_ID ||
        host + count - 1 == GOFER_NO_ID)
        return -EINVAL;
    if (map->n_ranges == GOFER_RANGES_MAX)
        return -ENOSPC;
    struct gofer_id_range *more = realloc(map->ranges, (map->n_ranges + 1) * sizeof(*more));
    if (!more)
        return -ENOMEM;
    more[map->n_ranges++] = (struct gofer_id_range){.inside = inside, .host = host, .count = count};
    map->ranges = more;
    return 0;
}

uint32_t gofer_show_id(const struct gofer_id_map *map, uint32_t id)
{
    bool is_unknown = map->overflow && id == map->overflow;

    if (map->inside && id == map->inside) {
        id = map->outside;
        is_unknown = false;
    }
    if (!map->n_ranges)
        return is_unknown ? 0 : id;
    for (uint32_t i = 0; i < map->n_ranges && !is_unknown; i++) {
        const struct gofer_id_range *range = &map->ranges[i];
        if (id - range->host < range->count)
            return range->inside + (id - range->host);
    }
    return GOFER_OVERFLOW_ID;
}

/* The number to give to the kernel. GOFER_NO_ID stays as it is. 0 or -EINVAL. */
int gofer_own_id(const struct gofer_id_map *map, uint32_t id, uint32_t *own)
{
    bool is_found = !map->n_ranges || id == GOFER_NO_ID;

    for (uint32_t i = 0; i < map->n_ranges && !is_found; i++) {
        const struct gofer_id_range *range = &map->ranges[i];
        if (id - range->inside < range->count) {
            id = range->host + (id - range->inside);
            is_found = true;
        }
    }
    if (!is_found)
        return -EINVAL;
    *own = map->inside && id == map->outside ? map->inside : id;
    return 0;
}

int gofer_own_ids(const struct gofer_server *server, uint32_t uid, uint32_t gid, uint32_t *own_uid, uint32_t *own_gid)
{
    int error = gofer_own_id(&server->uid_map, uid, own_uid);

    return error < 0 ? error : gofer_own_id(&server->gid_map, gid, own_gid);
}
