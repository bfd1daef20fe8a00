/**
 * A full disk that has room for term and vote, and none for the cut before them: what was cut off is still there behind the log, and
 * is neither sent nor counted.
 */
import { expect, test } from "bun:test";
import type { Append } from "./messages.ts";
import { Raft } from "./raft.ts";
import type { Entry, NodeId } from "./types.ts";

const entry = (index: number, term: number): Entry => ({
	...{ index, term, kind: "command" },
	data: Buffer.from(`${index}/${term}`),
});
const entries = (from: number, to: number, term: number): Entry[] =>
	Array.from({ length: to - from + 1 }, (_, at) => entry(from + at, term));

/** Node "a" of a, b and c, with entries 1 to 12 of term 1 on its disk, 5 of them applied. */
class Node {
	readonly disk = entries(1, 12, 1);
	readonly sent: Append[] = [];
	full = true;
	readonly raft = new Raft({
		...{ clusterId: "cluster", nodeId: "a", appliedIndex: 5, recovering: false, random: () => 0 },
		hardState: { term: 1, vote: null, recoveries: 0, recovering: false },
		log: { snapshotIndex: 0, snapshotTerm: 0, lastIndex: 12, termRuns: [{ firstIndex: 1, term: 1 }] },
		configurations: [
			{ index: 0, configuration: { voters: ["a", "b", "c"], witnesses: [], learners: [], removed: [] } },
		],
	});

	from(id: NodeId, term: number) {
		return { clusterId: "cluster", from: id, to: "a", term };
	}

	work(): void {
		for (let ready = this.raft.ready(); ready !== null; ready = this.raft.ready()) {
			for (const message of ready.messages) if (message.type === "append") this.sent.push(message);
			if (ready.committed !== null) this.raft.applied(ready.committed.lastIndex);
			for (const { request, firstIndex } of ready.fetches)
				this.raft.entriesRead(request, this.disk.slice(firstIndex - 1));
			if (ready.persist === null) continue;
			const { token, truncateAfter, entries: written } = ready.persist;
			if (this.full && (truncateAfter !== null || written.length > 0)) {
				this.raft.persistRefused(token);
				continue;
			}
			if (truncateAfter !== null) this.disk.length = truncateAfter;
			this.disk.push(...written);
			this.raft.persisted(token);
		}
	}
}

test("a leader sends what is in its log, and not what its disk should have lost", () => {
	const node = new Node();
	const { raft } = node;
	const sick = { recoveries: 0, recovering: false };
	// The leader of term 2 has others from 6 on.
	raft.step({
		...{ ...node.from("c", 2), type: "append", previousIndex: 5, previousTerm: 1, commit: 5 },
		entries: entries(6, 8, 2),
	});
	node.work();
	expect([raft.lastIndex, node.disk.length]).toEqual([8, 12]);
	for (let ticks = 0; ticks < 40 && raft.role !== "pre-candidate"; ticks++) {
		raft.tick();
		node.work();
	}
	raft.step({ ...node.from("b", 3), type: "pre-vote-answer", granted: true });
	node.work();
	raft.tick();
	node.work();
	raft.step({ ...node.from("b", 3), type: "vote-answer", granted: true });
	node.work();
	expect([raft.role, raft.lastIndex, node.disk.length]).toEqual(["leader", 9, 12]);
	// The follower has so little that the rest is read from the disk.
	const answer = { ...node.from("b", 3), type: "append-answer", ...sick } as const;
	raft.step({ ...answer, accepted: false, index: 8, hintIndex: 3, hintTerm: 1 });
	node.work();
	raft.step({ ...answer, accepted: true, index: 3, hintIndex: 0, hintTerm: 0 });
	node.work();
	const sent = node.sent.filter(({ to }) => to === "b").flatMap((message) => message.entries);
	expect(sent.some(({ index }) => index === 5)).toBe(true);
	for (const { index, term } of sent) expect([index, term]).toEqual([index, raft.termAt(index) ?? 0]);
});
