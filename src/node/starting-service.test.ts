/** What this node says of itself before it has started. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fixtureId } from "../testing/fixtures.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { startingService } from "./starting-service.ts";

const startingWith = (demoImage: string | null, clock = new ManualClock()) =>
	startingService(fixtureId(1), demoImage, clock);

test("whoever waits for a node that will not start is told why, and whoever asks afterwards", async () => {
	const service = startingWith(null);
	const waiting = service.foreignVms();
	expect(service.hypervisorState()).toBe("connecting");
	service.failed(new Error("It only votes."));
	await expect(waiting).rejects.toThrow("It only votes.");
	await expect(service.networkLeases(fixtureId(2))).rejects.toThrow("It only votes.");
	expect(service.hypervisorState()).toBe("disconnected");
});

test("nobody waits for ever for a node that does not get to the end of its start", async () => {
	const clock = new ManualClock();
	const waiting = startingWith(null, clock).foreignVms();
	clock.advance(60_000);
	await expect(waiting).rejects.toMatchObject({ code: "timeout" });
});

test("a demo image counts only while its file is there", () => {
	const folder = mkdtempSync(join(tmpdir(), "lqx-starting-"));
	try {
		const path = join(folder, "demo.qcow2");
		const service = startingWith(path);
		expect(service.demoImagePath()).toBeNull();
		writeFileSync(path, "");
		expect(service.demoImagePath()).toBe(path);
		rmSync(path);
		expect(service.demoImagePath()).toBeNull();
		expect(startingWith(null).demoImagePath()).toBeNull();
		// The node that has started knows better.
		service.started({ ...service, demoImagePath: () => "/elsewhere" });
		expect(service.demoImagePath()).toBe("/elsewhere");
		service.started({ ...service, demoImagePath: () => null });
		expect(service.demoImagePath()).toBeNull();
	} finally {
		rmSync(folder, { recursive: true });
	}
});
