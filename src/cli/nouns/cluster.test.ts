/** `cluster restore`, which needs no node. (`cluster backup`: whole-node.test.ts; both, for real: daemon.test.ts.) */
import { describe, expect, test } from "bun:test";
import { fakeIo } from "../../testing/cli/fake-io.ts";
import { cli } from "../../testing/cli/run-cli.ts";

describe("cluster restore", () => {
	test("works without a node, on the folder that is named", async () => {
		const asked: string[][] = [];
		const restoreSnapshot = async (...paths: string[]) => {
			asked.push(paths);
			return { index: 42 };
		};
		const words = "cluster restore /backup/monday.db --data-dir /srv/lqx";
		const { code, out } = await cli(words, { io: fakeIo({ offline: { restoreSnapshot } }) });
		expect({ code, asked }).toEqual({ code: 0, asked: [["/backup/monday.db", "/srv/lqx"]] });
		const [done, review] = out.split("\n");
		expect(done).toBe("/srv/lqx holds the state of /backup/monday.db (up to change 42). The node can be started.");
		expect(review).toMatch(
			/^All sessions are ended\. Tokens, users and passwords are those of the backup.*Review them/,
		);
	});

	test("chooses no folder by itself", async () => {
		expect(await cli("cluster restore /backup/monday.db")).toMatchObject({
			code: 2,
			err: expect.stringContaining("--data-dir is missing"),
		});
	});
});
