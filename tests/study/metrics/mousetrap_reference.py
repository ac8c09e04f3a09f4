"""A slow reference implementation of mousetrap's measures of one path, independent of the package."""

import itertools
import math


def resampled(t, x, y, step, hold):
    """Sample every `step` ms; in gaps longer than `hold` ms the pointer rests until `hold` / 2 before the end."""
    rows = list(zip(t, x, y, strict=True))
    if rows[0][0] > 0:
        rows.insert(0, (0.0, rows[0][1], rows[0][2]))
    nodes = [rows[0]]
    for before, row in itertools.pairwise(rows):
        if row[0] - before[0] > hold:
            nodes.append((row[0] - hold / 2, before[1], before[2]))
        nodes.append(row)
    times = [rows[0][0]]
    while times[-1] + step <= rows[-1][0]:
        times.append(rows[0][0] + len(times) * step)
    if times[-1] < rows[-1][0]:
        times.append(rows[-1][0])
    samples = []
    for now in times:
        at = max(k for k, node in enumerate(nodes) if node[0] <= now)
        (t0, x0, y0), (t1, x1, y1) = nodes[at], nodes[min(at + 1, len(nodes) - 1)]
        fraction = (now - t0) / (t1 - t0) if now > t0 else 0.0
        samples.append((now, x0 + fraction * (x1 - x0), y0 + fraction * (y1 - y0)))
    return samples


def signs(values):
    return [1 if value > 0 else -1 for value in values if value != 0]


def changes(values):
    return sum(one != other for one, other in itertools.pairwise(signs(values)))


def first(pick, values, times):
    best = pick(values)
    return best, times[values.index(best)]


def measures(t, x, y, hover, step=None, hold=math.inf):
    """Return the 30 measures by name, None below three samples. Times in ms; of equal times the last counts."""
    last = {now: (now, px, py) for now, px, py in zip(t, x, y, strict=True)}
    samples = [last[now] for now in sorted(last)]
    if len(samples) < 3:
        return None
    if step:
        samples = resampled(*zip(*samples, strict=True), step, hold)
    t, x, y = (list(column) for column in zip(*samples, strict=True))
    n = len(t)
    out = {"xpos_max": max(x), "xpos_min": min(x), "ypos_max": max(y), "ypos_min": min(y)}

    dx, dy = x[-1] - x[0], y[-1] - y[0]
    deviations = []
    for px, py in zip(x, y, strict=True):
        along = ((px - x[0]) * dx + (py - y[0]) * dy) / (dx * dx + dy * dy) if dx or dy else 0.0
        ideal_x, ideal_y = x[0] + along * dx, y[0] + along * dy
        size = math.sqrt((ideal_x - px) ** 2 + (ideal_y - py) ** 2)
        below = ideal_y > py
        deviations.append(-size if below != (y[0] > y[-1]) else size)
    sizes = [abs(value) for value in deviations]
    at = sizes.index(max(sizes))
    out |= {"MAD": deviations[at], "MAD_time": t[at]}
    out["MD_above"], out["MD_above_time"] = first(max, deviations, t)
    out["MD_below"], out["MD_below_time"] = first(min, deviations, t)
    out["AD"] = math.fsum(deviations) / n
    area = math.fsum(x[i] * y[(i + 1) % n] - x[(i + 1) % n] * y[i] for i in range(n)) / 2
    out["AUC"] = -area if (dx > 0 and dy > 0) or (dx < 0 and dy < 0) else area

    for axis, values in (("xpos", x), ("ypos", y)):
        out[f"{axis}_flips"] = changes([b - a for a, b in itertools.pairwise(values)])
        out[f"{axis}_reversals"] = changes(values)

    out["RT"] = t[-1]
    away = [i for i in range(n) if (x[i], y[i]) != (x[0], y[0])]
    out["initiation_time"] = t[away[0] - 1] if away else t[-1]
    still = [(x[i], y[i]) == (x[i - 1], y[i - 1]) for i in range(1, n)]
    gaps = [t[i] - t[i - 1] for i in range(1, n)]
    if not any(still):
        out |= {"idle_time": t[0], "hover_time": t[0] if t[0] > hover else 0.0, "hovers": 0}
    elif all(still):
        long = t[-1] > hover
        out |= {"idle_time": t[-1], "hover_time": t[-1] if long else 0.0, "hovers": int(long)}
    else:
        pairs = zip(still, gaps, strict=True)
        rests = [sum(gap for _, gap in run) for key, run in itertools.groupby(pairs, lambda p: p[0]) if key]
        hovers = [rest for rest in rests if rest > hover]
        out |= {"idle_time": sum(rests), "hover_time": sum(hovers), "hovers": len(hovers)}

    lengths = [math.sqrt((x[i] - x[i - 1]) ** 2 + (y[i] - y[i - 1]) ** 2) for i in range(1, n)]
    out["total_dist"] = sum(lengths)
    velocities = [0.0] + [length / gap for length, gap in zip(lengths, gaps, strict=True)]
    left = [t[0], *t]  # the time of a velocity is where its step begins
    out["vel_max"], out["vel_max_time"] = first(max, velocities, left)
    out["vel_min"], out["vel_min_time"] = first(min, velocities, left)
    accelerations = [0.0] + [(velocities[i + 1] - velocities[i]) / gaps[i - 1] for i in range(1, n - 1)]
    out["acc_max"], out["acc_max_time"] = first(max, accelerations, t)
    out["acc_min"], out["acc_min_time"] = first(min, accelerations, t)
    return out
