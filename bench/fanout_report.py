"""The figures of the fan-out benchmark as Markdown."""


def table(results, columns):
    peers = list(results)
    lines = ["| | " + " | ".join(peers) + " |", "|---" * (len(peers) + 1) + "|"]
    for key, title, digits in columns:
        cells = [f"{results[peer][key]:,.{digits}f}" if key in results[peer] else "–" for peer in peers]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


COLUMNS = [
    ("us@10", "CPU per delivery at 10/s, µs", 1),
    ("us@40", "CPU per delivery at 40/s, µs", 1),
    ("p50@10", "latency p50 at 10/s, ms", 1),
    ("p99@10", "latency p99 at 10/s, ms", 1),
    ("p50@40", "latency p50 at 40/s, ms", 1),
    ("p99@40", "latency p99 at 40/s, ms", 1),
    ("per_second@burst", "burst, deliveries a second", 0),
    ("us@burst", "burst, CPU per delivery, µs", 2),
    ("connect_us", "CPU per connection made, µs", 0),
    ("memory_kb", "memory per connection, KB", 1),
    ("load_busy@10", "load client busy at 10/s", 2),
    ("load_busy@40", "load client busy at 40/s", 2),
    ("load_busy@burst", "load client busy in the burst", 2),
    ("lost@10", "lost at 10/s", 0),
    ("lost@40", "lost at 40/s", 0),
    ("lost@burst", "lost in the burst", 0),
]
MANY_COLUMNS = [
    ("us@5", "CPU per delivery at 5/s, µs", 1),
    ("p50@5", "latency p50, ms", 1),
    ("p99@5", "latency p99, ms", 1),
    ("connect_us", "CPU per connection made, µs", 0),
    ("memory_kb", "memory per connection, KB", 1),
    ("load_busy@5", "load client busy", 2),
    ("lost@5", "lost", 0),
]


def ratios(results):
    """Ours against Node's and against the floor."""
    ours, lines = results["ours"], []
    for other in ("node", "uws", "floor"):
        if other not in results:
            continue
        found = results[other]
        same = [key for key in ("us@10", "us@40", "p99@10", "p99@40", "connect_us", "per_second@burst") if key in found]
        lines.append(f"ours / {other}: " + ", ".join(f"{key} {ours[key] / found[key]:.2f}" for key in same))
    return "\n".join(lines)
