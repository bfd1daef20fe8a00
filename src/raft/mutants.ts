/**
 * Bugs that can be planted, one at a time, to prove that tests see them: `new Raft({ …, mutant: "votes-twice" })`.
 * To add one: a line here that says what goes wrong, and `planted(core, "its-name")` where the bug is.
 * The daemon passes none, and then `planted` is one comparison with null.
 */
export const mutants = {
	"vote-not-durable": "A vote is sent before it is on disk: a node that crashes then votes again in the same term.",
	"term-not-durable": "A candidate asks for votes before its term and its own vote are on disk.",
	"votes-twice": "A node votes for whoever asks, also when it has voted in this term.",
	"votes-for-shorter-log": "A vote does not look at the candidate's log: a leader without committed entries.",
	"compares-length-only": "Logs are compared by length and not by last term first.",
	"commits-earlier-term":
		"An entry of an earlier term counts as committed once it is on a majority (figure 8 of the paper).",
	"commits-without-quorum": "One voter less than a majority is enough to commit.",
	"wins-without-quorum": "One vote less than a majority wins an election.",
	"counts-itself-before-durable": "A leader counts its own entries before its disk has them.",
	"acks-before-durable": "A follower acknowledges entries before its disk has them.",
	"acks-beyond-match": "A follower acknowledges the end of its log instead of the end of what the leader sent.",
	"commits-beyond-match": "A follower takes the leader's commit index for entries that it has not compared.",
	"heartbeat-commits-all": "A heartbeat carries the commit index for followers that do not have those entries.",
	"no-truncation": "A follower keeps entries that contradict the leader's, and writes on after them.",
	"truncates-always": "A late or repeated append cuts off entries after it that match and may be acknowledged.",
	"ignores-previous-term": "An append is taken when the index before it exists, whatever its term.",
	"skips-committed-check":
		"A rejection that is out of date moves a follower's progress back below what is known to match.",
	"read-without-round": "A leader answers reads without asking whether it still leads.",
	"read-before-own-commit": "A new leader answers reads before an entry of its own term is committed.",
	"read-round-counts-any": "Any answer confirms a read, also one to a heartbeat that was sent before the read came.",
	"read-counts-learners": "Learners confirm that a leader still leads.",
	"learner-counted": "What a learner has counts towards a majority.",
	"learner-campaigns": "A learner campaigns.",
	"pre-vote-raises-term": "A request for a pre-vote raises the term of the one asked.",
	"no-pre-vote": "A node that was cut off comes back and deposes a working leader.",
	"no-check-quorum": "A leader without a quorum goes on believing that it leads.",
	"no-stickiness": "A node that hears from its leader votes for somebody else.",
	"two-changes-at-once": "A second change of the members is taken while the first is not committed.",
	"change-before-own-commit": "A change of the members is taken before an entry of the leader's term is committed.",
	"configuration-on-commit": "A leader counts by the old configuration until the new one is committed.",
	"configuration-not-rolled-back": "A configuration stays in force although its entry was overwritten.",
	"removed-vote-counted": "A node that is no voter has its vote counted.",
	"removed-node-heard": "Messages of a removed node have effects.",
	"leader-removed-stays": "A leader that has removed itself goes on leading.",
	"other-cluster-heard": "Messages of another cluster have effects.",
	"recovering-votes": "A node with a damaged log votes.",
	"recovering-campaigns": "A node with a damaged log campaigns.",
	"recovering-counted": "What a recovering node has counts towards a majority.",
	"recovers-by-own-vote": "A leader elected with the vote of the damaged node tells it that it has recovered.",
	"recovers-at-once": "A damaged node takes the first commit index that it hears for a confirmed one.",
	"recovery-not-confirmed": "A commit index that counted the damaged node is what it recovers to.",
	"old-recovery-accepted": "Answers of a node from before its log was damaged still count.",
	"old-disk-not-noticed":
		"A node whose disk of an earlier day was put back goes on as if it had all that it acknowledged.",
	"term-goes-back": "A node that steps down takes the sender's term although its own is higher.",
	"vote-kept-in-new-term": "The vote of the last term is kept in the new one.",
	"old-leader-heard": "An append of an earlier term is taken.",
	"applies-uncommitted": "Entries are applied once they are durable here.",
	"applies-not-durable": "Entries are applied before this node's disk has them.",
	"skips-entry-after-snapshot": "The first entry after an installed snapshot is not applied.",
	"stale-snapshot-installed": "A snapshot older than what is applied is installed.",
	"snapshot-keeps-conflict": "Entries after a snapshot are kept although the one at its end is of another term.",
	"snapshot-without-term": "A snapshot of a deposed leader is installed.",
	"transfer-by-fiat": "The target of a transfer leads at once, without votes and whatever its log.",
	"transfer-to-anyone": "A node that was told to campaign does so although it is no voter or has a damaged log.",
	"witness-keeps-leading": "A witness does not hand over leadership.",
	"hanging-leader-stays": "A leader whose disk hangs goes on leading, and nothing that is committed is answered.",
	"refused-write-acknowledged": "A write that the full disk refused counts as durable.",
	"lost-vote-on-full-disk": "When the disk is full, the vote that was to be written is forgotten.",
	"chunk-crc-ignored": "A damaged chunk of a snapshot is written.",
	"chunk-offset-ignored": "A chunk is written wherever the receiver is, whatever its offset says.",
	"chunk-of-other-snapshot": "A chunk of one snapshot is appended to another.",
} as const satisfies Record<string, string>;

/** Bugs of the driver and the log (src/store/raft, src/store/log); the scripts of this folder do not see them. */
export const driverMutants = {
	"log-not-synced": "Entries count as durable once they are written, without fdatasync.",
	"log-not-awaited": "Entries count as durable while they are still being written.",
	"log-not-begun-anew": "A snapshot is installed, and the log on disk goes on with the entries of before.",
	"cut-not-written": "Entries that contradict the leader's stay on the disk.",
	"cut-entries-return": "A start takes entries of earlier generations that were cut off.",
	"torn-tail-kept": "A start leaves the torn tail in the file, and what is written next comes after it.",
	"proof-of-loss-ignored": "Damage of what was durable is taken for the torn tail of a write, and cut off in silence.",
	"damage-not-told": "A node whose log was cut before damage goes on as if it had lost nothing.",
	"hard-state-not-written": "Term and vote are never written.",
	"damaged-vote-forgotten": "A node whose term and vote cannot be read starts with those of its state.",
	"no-space-acknowledged": "A write that the full disk refused is reported as durable.",
	"hand-over-not-stopped": "Entries that were read for the old state are handed to the one of a snapshot.",
	"resume-unchecked": "What is there of a snapshot after a restart is taken for what had arrived.",
	"read-shared-too-long": "Reads take the answer to one that was asked before them.",
} as const satisfies Record<string, string>;

export type MutantName = keyof typeof mutants | keyof typeof driverMutants;
export const mutantNames = Object.keys(mutants) as MutantName[];
export const driverMutantNames = Object.keys(driverMutants) as MutantName[];

export const planted = (where: { readonly mutant: MutantName | null }, name: MutantName): boolean =>
	where.mutant === name;
