/** Leaving a place of Ceph: nothing is touched that is another pool's by now. */
import { expect, test } from "bun:test";
import { newId } from "../conformance.ts";
import { markerObject, workObject } from "./names.ts";
import { leavePlace } from "./pool-marker.ts";
import type { CephRunner } from "./runner.ts";

const [mine, other] = [newId(), newId()];

async function leave(owner: string): Promise<string[]> {
	const done: string[] = [];
	const lockers = [{ name: "client.1", cookie: owner, description: "", expiration: "", addr: "" }];
	const runner = {
		rados: async () => JSON.stringify({ name: "owner", type: "exclusive", tag: "", lockers }),
		changeRados: async (args: string[]) => void done.push(args.join(" ")),
	};
	await leavePlace(runner as unknown as CephRunner, mine, async () => void done.push("tidy"));
	return done;
}

test("what this node has half done goes, then the mark", async () => {
	expect(await leave(mine)).toEqual(["tidy", `rm ${workObject}`, `rm ${markerObject}`]);
});

test("a place that another pool has taken is left alone", async () => {
	expect(await leave(other)).toEqual([]);
});
