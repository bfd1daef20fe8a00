/**
 * What the members of the cluster know how to do. A node says it on each of its links, and its record in the state keeps what it
 * reported last: so a node that is down does not stand in the way of what it knew when it was up.
 */
import { AppError } from "../lib/errors.ts";
import type { Node } from "../model/node.ts";
import type { PeerNode } from "../peer/peer.ts";
import { features as ownFeatures } from "../store/command-features.ts";
import type { Store } from "../store/store.ts";

type Links = readonly { nodeId: string; peer: { features: readonly string[] } | null }[];

export class MemberFeatures {
	readonly #nodeId: string;
	readonly #store: Pick<Store, "all">;
	readonly #own: readonly string[];
	#peers: Pick<PeerNode, "status"> | null = null;

	constructor(nodeId: string, store: Pick<Store, "all">, own: readonly string[] = ownFeatures) {
		this.#nodeId = nodeId;
		this.#store = store;
		this.#own = own;
	}

	/** Before there are any, the state alone is asked. */
	usePeers(peers: Pick<PeerNode, "status">): void {
		this.#peers = peers;
	}

	/** What every member knows. */
	common(): string[] {
		return this.#own.filter((feature) => this.lacking(feature).length === 0);
	}

	/** The members without it, by name. */
	lacking(feature: string): string[] {
		const links = this.#peers?.status() ?? [];
		const has = (node: Node) => (node.id === this.#nodeId ? this.#own : featuresOf(node, links)).includes(feature);
		const members = this.#store.all("node").filter(({ status }) => status.phase !== "left");
		return members.filter((node) => !has(node)).map(({ name }) => name);
	}
}

/**
 * May a node that knows these join? `unsupported`: it has to know what the members use already, and nothing that some of them do
 * not know: what it brings along are documents of its own version.
 */
export function checkJoins(joining: { build: string; features: readonly string[] }, members: MemberFeatures): void {
	const missing = members.common().filter((feature) => !joining.features.includes(feature));
	if (missing.length > 0)
		throw new AppError(
			"unsupported",
			`This node's version of LimiQuantix, ${joining.build}, is older than the cluster's: it does not know ${missing.join(", ")}. Install the cluster's version on it first.`,
		);
	const older = new Set(joining.features.flatMap((feature) => members.lacking(feature)));
	if (older.size > 0)
		throw new AppError(
			"unsupported",
			`This node's version of LimiQuantix, ${joining.build}, is newer than that of ${[...older].sort().join(", ")}. Bring these nodes to it first.`,
		);
}

/** What it says over its link is newer than its record: it may have been upgraded a moment ago. */
function featuresOf({ id, status }: Node, links: Links): readonly string[] {
	return links.find(({ nodeId }) => nodeId === id)?.peer?.features ?? status.features ?? [];
}
