/** What is said again at the end of a run, and what is shown of tests that passed, of real output; what may run beside each other. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { present } from "../lib/assert.ts";
import { run } from "../lib/run.ts";
import { noteMark, notesIn } from "../testing/note.ts";
import { failuresOf, findTests, needsMachine } from "./test-suites.ts";

test("each failed test is named again, with what it said", async () => {
	const folder = mkdtempSync("/tmp/lqx-suites-");
	try {
		writeFileSync(
			join(folder, "some.test.ts"),
			`import { expect, test } from "bun:test";
			test("good", () => console.error("said by a" + " good one"));
			test("wrong", () => { console.error("said by a wrong one"); expect(1).toBe(2); });
			test.skip("left out", () => {});
			test("another", () => { for (let at = 0; at < 50; at++) console.error("line", at); throw new Error("broken"); });
			test("good again", () => console.log("${noteMark}so many seconds"));`,
		);
		const { stdout, stderr, exitCode } = await run(process.execPath, ["test", "."], {
			...{ cwd: folder, timeoutMs: 30_000, okExitCodes: [1], environment: { NO_COLOR: "1", FORCE_COLOR: "0" } },
		});
		expect(exitCode).toBe(1);
		expect(notesIn(stdout)).toEqual(["so many seconds"]);
		const found = failuresOf("a suite", stderr);
		expect(found).toHaveLength(2);
		const [wrong, another] = [present(found[0], "the first"), present(found[1], "the second")];
		expect(wrong).toStartWith("a suite\n");
		expect(wrong).toContain("said by a wrong one");
		expect(wrong).toContain("Expected: 2");
		expect(wrong).not.toContain("said by a good one");
		expect(wrong.split("\n").at(-1)).toStartWith("(fail) wrong");
		expect(another).toContain("error: broken");
		expect(another).not.toContain("line 0\n");
		expect(another.split("\n").length).toBeLessThan(35);
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
});

test("pages, and what is inside of a machine of its own, run beside what shares this one", () => {
	const found = [...findTests("lab"), ...findTests("e2e"), ...findTests("long")];
	const [alone, beside] = [found.filter(needsMachine), found.filter((path) => !needsMachine(path))];
	expect(alone).toContain("src/testing/system/lifecycle.lab.test.ts");
	expect(alone).toContain("src/testing/system/journey.e2e.test.ts");
	expect(alone).toContain("ui/e2e/nodes-vms.test.ts");
	expect(beside).toContain("src/testing/system/storage-boot-nfs.lab.test.ts");
	expect(beside).toContain("ui/e2e/lists.test.ts");
});
