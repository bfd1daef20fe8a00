import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { waitUntil } from "../lab/wait-until.ts";
import { splitFrames, startEthernetHub } from "./ethernet-hub.ts";

const frame = (text: string): Buffer => {
	const length = Buffer.alloc(4);
	length.writeUInt32BE(Buffer.byteLength(text));
	return Buffer.concat([length, Buffer.from(text)]);
};

test("frames are found wherever the pieces are cut", () => {
	const whole = Buffer.concat([frame("one"), frame(""), frame("three")]);
	for (let cut = 0; cut <= whole.length; cut++) {
		const found: string[] = [];
		const take = splitFrames((bytes) => found.push(bytes.toString("utf8", 4)));
		expect(take(whole.subarray(0, cut)) && take(whole.subarray(cut))).toBe(true);
		expect(found).toEqual(["one", "", "three"]);
	}
	expect(splitFrames(() => {})(Buffer.alloc(4, 0xff))).toBe(false);
});

test("what one port sends, every other one gets, and not the sender", async () => {
	const folder = mkdtempSync("/tmp/lqx-hub-");
	const hub = await startEthernetHub(join(folder, "hub"));
	const ports: Socket[] = [];
	const heard: string[][] = [];
	const waits: (() => void)[] = [];
	const plug = async (): Promise<Socket> => {
		const at = ports.length;
		const port = connect(hub.socketPath);
		heard[at] = [];
		const take = splitFrames((bytes) => {
			heard[at]?.push(bytes.toString("utf8", 4));
			for (const wait of waits) wait();
		});
		port.on("data", take);
		ports.push(port);
		await new Promise<void>((resolve) => port.once("connect", () => resolve()));
		return port;
	};
	const until = (wanted: () => boolean) =>
		new Promise<void>((resolve) => {
			const check = (): void => {
				if (wanted()) resolve();
			};
			waits.push(check);
			check();
		});
	try {
		const [first, second] = [await plug(), await plug(), await plug()];
		await waitUntil("three ports", 5_000, () => hub.ports === 3);
		first.write(frame("hello"));
		await until(() => heard[1]?.length === 1 && heard[2]?.length === 1);
		second.write(frame("answer"));
		await until(() => heard[0]?.length === 1 && heard[2]?.length === 2);
		expect(heard).toEqual([["answer"], ["hello"], ["hello", "answer"]]);
	} finally {
		for (const port of ports) port.destroy();
		await hub.close();
		rmSync(folder, { recursive: true });
	}
});
