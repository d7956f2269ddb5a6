/**
 * Watches a room's `seq` for loss. Pure.
 *
 * Missing numbers count only where no snapshot covers them: after joining, events that are older than the snapshot
 * may still arrive, and some of those may have been dropped. A `seq` that does not rise is a room begun anew.
 */
export class Sequence {
  #arrived = null;
  #covered = null;

  /** A new connection or room: nothing has arrived yet. */
  restart() {
    this.#arrived = null;
    this.#covered = null;
  }

  /** A snapshot with this seq is held, and events with these arrived since its fetch began. Returns whether any is missing. */
  cover(seq, since) {
    this.#covered = BigInt(seq);
    let known = this.#covered;
    let before = -1n;
    let isLoss = false;
    for (const each of since.map(BigInt)) {
      isLoss ||= each > known + 1n || each <= before;
      if (each > known) known = each;
      before = each;
    }
    return isLoss;
  }

  /** An event arrived. Returns whether something was lost before it. */
  arrive(seq) {
    const now = BigInt(seq);
    const before = this.#arrived;
    this.#arrived = now;
    if (before !== null && now <= before) return true;
    if (this.#covered === null) return false;
    const known = before !== null && before > this.#covered ? before : this.#covered;
    return now > known + 1n;
  }
}
