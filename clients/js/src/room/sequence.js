/**
 * Detects lost events by a room's `seq`. Pure.
 *
 * Missing numbers count only if no snapshot covers them: after joining, events older than the snapshot may still
 * arrive, and some of those may have been dropped. A `seq` that does not rise means that the room was started anew.
 */
export class Sequence {
  #arrived = null;
  #covered = null;

  /** Start over for a new connection or room. */
  restart() {
    this.#arrived = null;
    this.#covered = null;
  }

  /** Adopt a snapshot with this seq; `since`: the seqs of events since its fetch began. Returns whether any is missing. */
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

  /** Record an event. Returns whether an event was lost before it. */
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
