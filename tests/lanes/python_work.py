"""Small programs of the kinds that pyperformance has, timed from inside: the interpreter's start is left out."""

import time


def float_orbits(steps):
    x, y, vx, vy = 1.0, 0.0, 0.0, 1.0
    for _ in range(steps):
        pull = (x * x + y * y) ** -1.5 * 0.001
        vx -= x * pull
        vy -= y * pull
        x += vx * 0.001
        y += vy * 0.001
    return round(x, 6)


def flips(size):
    """The most prefix reversals that a permutation of range(size) needs (fannkuch)."""
    order, counts, most, rest = list(range(size)), [0] * size, 0, size
    while True:
        while rest != 1:
            counts[rest - 1] = rest
            rest -= 1
        work, reversals = order[:], 0
        while work[0]:
            work[: work[0] + 1] = work[work[0]::-1]
            reversals += 1
        most = max(most, reversals)
        while True:
            if rest == size:
                return most
            order.insert(rest, order.pop(0))
            counts[rest] -= 1
            if counts[rest] > 0:
                break
            rest += 1


def words(count):
    seen = {}
    for number in range(count):
        word = f"word {number * 7919 % 5003}"
        seen[word] = seen.get(word, 0) + len(word)
    return sorted(seen.items(), key=lambda item: (-item[1], item[0]))[0]


class Node:
    def __init__(self, depth):
        self.children = [Node(depth - 1), Node(depth - 1)] if depth else []

    def count(self):
        return 1 + sum(child.count() for child in self.children)


def work():
    return float_orbits(1500000), flips(8), words(600000), [Node(14).count() for _ in range(12)][0]


start = time.perf_counter_ns()
found = work()
print('{"elapsed_nanoseconds": %d, "status": 0}' % (time.perf_counter_ns() - start), found)
