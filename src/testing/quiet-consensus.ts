/** For tests of the store by itself: a consensus that does nothing but what `parts` say, and the system's commands for it. */
import type { Command, CommandBody } from "../store/command.ts";
import type { Consensus } from "../store/consensus.ts";
import { fixtureId } from "./fixtures.ts";

export const quietConsensus = (parts: Partial<Consensus>): Consensus => ({
	propose: async () => {},
	readIndex: async () => 0,
	status: () => ({ leader: null, quorum: true, commitIndex: 0, term: 1 }),
	compact: async () => {},
	logBytesAfter: () => 0,
	close: async () => {},
	...parts,
});

export const systemCommand = (number: number, body: CommandBody): Command => ({
	...{ requester: { kind: "system", id: null, name: "system" }, operation: "system" },
	...{ id: fixtureId(number), timeMs: Date.UTC(2026, 0, 1), remoteAddress: null },
	...{ idempotencyKey: null, credential: null, body },
});
