/** `cluster restore` and `recover`, which need no node. (`cluster backup`: whole-node.test.ts; both, for real: daemon.test.ts.) */
import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AppError } from "../../lib/errors.ts";
import { systemRandom } from "../../lib/random.ts";
import { sealStream } from "../../lib/sealed-stream.ts";
import { fakeIo } from "../../testing/cli/fake-io.ts";
import { expectGolden } from "../../testing/cli/golden.ts";
import { cli } from "../../testing/cli/run-cli.ts";
import { fixtureId } from "../../testing/fixtures.ts";
import type { OfflineWork } from "../io.ts";

describe("cluster restore", () => {
	test("works without a node, on the folder that is named", async () => {
		const asked: (string | undefined)[][] = [];
		const restoreSnapshot = async (...words: (string | undefined)[]) => {
			asked.push(words);
			return { index: 42, nodeName: "node2", membersLeft: [] };
		};
		const words = "cluster restore /backup/monday.db --data-dir /srv/lqx";
		const { code, out } = await cli(words, { io: fakeIo({ offline: { restoreSnapshot } }) });
		expect({ code, asked }).toEqual({ code: 0, asked: [["/backup/monday.db", "/srv/lqx", undefined]] });
		const [done, review] = out.split("\n");
		expect(done).toBe(
			"/srv/lqx holds the state of /backup/monday.db (up to change 42), as a cluster of node2 alone. The node can be started.",
		);
		expect(review).toMatch(
			/^All sessions are ended\. Tokens, users and passwords are those of the backup.*Review them/,
		);
	});

	test("of a cluster of several nodes says which are members no more", async () => {
		const restoreSnapshot: OfflineWork["restoreSnapshot"] = async (_, __, nodeName) => {
			expect(nodeName).toBe("node2");
			return { index: 42, nodeName: "node2", membersLeft: ["node1", "node3"] };
		};
		const words = "cluster restore /backup/monday.db --data-dir /srv/lqx --node node2";
		const { code, out } = await cli(words, { io: fakeIo({ offline: { restoreSnapshot } }) });
		expect(code).toBe(0);
		expect(out).toContain("No members any more: node1, node3. They must not be started with what they have: their VMs");
	});

	test("opens a sealed backup with its passphrase, beside it for no longer than it takes", async () => {
		const folder = await mkdtemp(join(tmpdir(), "lqx-restore-test-"));
		try {
			const [sealed, passphrase] = [join(folder, "monday.lqx"), join(folder, "passphrase")];
			const content = Buffer.concat([Buffer.from("SQLite format 3"), Buffer.alloc(200_000, 5)]);
			const chunks = (async function* () {
				yield content;
			})();
			await Bun.write(sealed, await Array.fromAsync(sealStream(chunks, "correct horse battery", systemRandom)));
			await Bun.write(passphrase, "correct horse battery\n");
			const opened: string[] = [];
			const restoreSnapshot: OfflineWork["restoreSnapshot"] = async (path) => {
				opened.push(path);
				expect((await stat(path)).mode & 0o077).toBe(0);
				expect(Buffer.from(await Bun.file(path).arrayBuffer()).equals(content)).toBe(true);
				return { index: 42, nodeName: "node2", membersLeft: [] };
			};
			const words = `cluster restore ${sealed} --data-dir /srv/lqx --passphrase-file`;
			const io = () => fakeIo({ offline: { restoreSnapshot } });
			expect((await cli(`${words} ${passphrase}`, { io: io() })).code).toBe(0);
			expect(existsSync(opened[0] ?? "")).toBe(false);
			await Bun.write(passphrase, "correct horse batteries");
			const refused = await cli(`${words} ${passphrase}`, { io: io() });
			expect([refused.code, opened.length]).toEqual([1, 1]);
			expect(refused.err).toContain("not the passphrase");
		} finally {
			await rm(folder, { recursive: true });
		}
	});

	test("chooses no folder by itself", async () => {
		expect(await cli("cluster restore /backup/monday.db")).toMatchObject({
			code: 2,
			err: expect.stringContaining("--data-dir is missing"),
		});
	});
});

describe("cluster recover", () => {
	const found = { clusterName: "berlin", nodeName: "node1", index: 42, otherMembers: ["node2", "node3"], damage: null };
	const setUp = (options: { tty?: boolean } = {}) => {
		const names: string[] = [];
		const recoverCluster: OfflineWork["recoverCluster"] = async (dataDir, confirm) => {
			expect(dataDir).toBe("/srv/lqx");
			names.push(await confirm(found));
			if (names.at(-1) !== "node1") throw new AppError("invalid", "The name of the node is node1.");
			return { index: 42, clusterId: fixtureId(7), membersLeft: ["node2", "node3"] };
		};
		return { names, io: fakeIo({ ...options, offline: { recoverCluster } }) };
	};

	test("says what may be lost, has the name typed, and says what became of the others", async () => {
		const { io, names } = setUp({ tty: true });
		io.feed("node1\n");
		const { code, out, err } = await cli("cluster recover --data-dir /srv/lqx", { io });
		expect({ code, names }).toEqual({ code: 0, names: ["node1"] });
		expectGolden(join(import.meta.dir, "golden/cluster-recover.txt"), `${err}\n${out}`);
	});

	test("says what is wrong with the log before it asks", async () => {
		const damage = "The log is damaged at byte 7 of 1.log, entry 43.";
		const recoverCluster: OfflineWork["recoverCluster"] = async (_, confirm) => {
			await confirm({ ...found, damage });
			return { index: 42, clusterId: fixtureId(7), membersLeft: [] };
		};
		const io = fakeIo({ offline: { recoverCluster } });
		const { err } = await cli("cluster recover --data-dir /srv/lqx --confirm node1", { io });
		expect(err).toStartWith(`${damage}\nnode1 of the cluster berlin has the state up to change 42.`);
	});

	test("takes the name as an option, for programs", async () => {
		const { io, names } = setUp();
		const { code, out } = await cli("cluster recover --data-dir /srv/lqx --confirm node1 -o json", { io });
		expect({ code, names, id: JSON.parse(out).clusterId }).toEqual({ code: 0, names: ["node1"], id: fixtureId(7) });
	});

	test("does nothing without the name", async () => {
		const wrong = setUp({ tty: true });
		wrong.io.feed("node2\n");
		expect((await cli("cluster recover --data-dir /srv/lqx", { io: wrong.io })).code).toBe(1);
		expect((await cli("cluster recover --data-dir /srv/lqx", { io: setUp().io })).code).toBe(2);
		expect((await cli("cluster recover --confirm node1")).code).toBe(2);
	});
});
