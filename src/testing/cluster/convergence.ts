/**
 * Do copies of the state become the same? Asked of the nodes themselves, by a backup of each. What is compared are the rows: nodes of two
 * versions may have another schema, with tables that are empty until all members know what is in them.
 */
import { Database } from "bun:sqlite";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { digestText, stateDigest } from "../../store/sqlite/state-digest.ts";
import { dumpState } from "../dump-state.ts";
import { waitUntil } from "../lab/wait-until.ts";
import type { ClusterNode } from "./cluster-node.ts";

type Asked = Pick<ClusterNode, "name" | "api">;

export type Copy = { node: string; index: number; digest: string };

/** What this node has now; null while it does not say, as one that begins anew. Fails when its rows are not those that were written. */
export async function copyOf(node: Asked, folder: string): Promise<Copy | null> {
	const path = join(folder, `${node.name}-${crypto.randomUUID()}.db`);
	try {
		const said = node.api.call("clusterBackupGet").then(({ body }) => Bun.write(path, body));
		if ((await said.catch(() => null)) === null) return null;
		const database = new Database(path, { readonly: true });
		try {
			const found = database.query("SELECT value FROM meta WHERE key = 'appliedIndex'").get() as {
				value: number;
			} | null;
			const digest = stateDigest.digestOf(database);
			if (digest !== stateDigest.storedDigest(database))
				throw new Error(`${node.name}: the digest of its state is not that of its rows`);
			return { node: node.name, index: found?.value ?? 0, digest: digestText(rowsDigest(database)) };
		} finally {
			database.close();
		}
	} finally {
		rmSync(path, { force: true });
	}
}

function rowsDigest(database: Database): bigint {
	const lines = dumpState(database).split("\n");
	const rows = lines.filter((line, at) =>
		line.startsWith("  ") ? !line.startsWith('  {"key":"digest",') : lines[at + 1]?.startsWith("  "),
	);
	return Bun.hash.xxHash64(rows.join("\n"));
}

/**
 * Waits until all have applied the same entries and hold the same. Two that hold something different after the same entry
 * are an error at once: that never mends itself.
 */
export async function untilSame(nodes: readonly Asked[], folder: string, limitMs: number): Promise<Copy> {
	const known = new Map<number, Copy>();
	return waitUntil(
		`the same state on ${nodes.map((node) => node.name).join(", ")}`,
		limitMs,
		async () => {
			const copies = await Promise.all(nodes.map((node) => copyOf(node, folder)));
			for (const copy of copies) {
				if (copy === null) return undefined;
				const other = known.get(copy.index) ?? copy;
				known.set(copy.index, other);
				if (other.digest !== copy.digest)
					throw new Error(
						`After entry ${copy.index}, ${other.node} holds ${other.digest} and ${copy.node} holds ${copy.digest}`,
					);
			}
			const [first] = copies;
			return first !== undefined && first !== null && copies.every((copy) => copy?.index === first.index)
				? first
				: undefined;
		},
		{ everyMs: 100 },
	);
}
