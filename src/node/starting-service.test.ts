/** What this node says of itself before it has started. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fixtureId } from "../testing/fixtures.ts";
import { startingService } from "./starting-service.ts";

test("a demo image counts only while its file is there", () => {
	const folder = mkdtempSync(join(tmpdir(), "lqx-starting-"));
	try {
		const path = join(folder, "demo.qcow2");
		const service = startingService(fixtureId(1), path);
		expect(service.demoImagePath()).toBeNull();
		writeFileSync(path, "");
		expect(service.demoImagePath()).toBe(path);
		rmSync(path);
		expect(service.demoImagePath()).toBeNull();
		expect(startingService(fixtureId(1), null).demoImagePath()).toBeNull();
		// The node that has started knows better.
		service.started({ ...service, demoImagePath: () => "/elsewhere" });
		expect(service.demoImagePath()).toBe("/elsewhere");
		service.started({ ...service, demoImagePath: () => null });
		expect(service.demoImagePath()).toBeNull();
	} finally {
		rmSync(folder, { recursive: true });
	}
});
