import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../../../lib/run.ts";
import { type LibvirtLab, startLab } from "../../../testing/lab/libvirt-lab.ts";
import { goldenCases } from "../golden/cases.ts";
import { defineFlags, undefineFlags } from "../rpc/flags.ts";

const limitMs = 60_000;
// Defining needs KVM to be there, not to work.
const kvm = existsSync("/dev/kvm");

describe("golden domain XML", () => {
	let lab: LibvirtLab;
	beforeAll(async () => {
		lab = await startLab({ name: "golden", showKvm: kvm });
	}, limitMs);
	afterAll(async () => {
		await lab?.close();
	}, limitMs);

	for (const golden of goldenCases) {
		const path = join(import.meta.dir, "../golden", `${golden.name}.xml`);
		const title = `${golden.name}: fits libvirt's schema, and libvirt defines it`;
		const body = async () => {
			await run("virt-xml-validate", [path, "domain"], { timeoutMs: 20_000 });
			const defined = await lab.client.domainDefineXMLFlags(readFileSync(path, "utf8"), defineFlags.validate);
			expect(defined.uuid).toBe(golden.domain.id);
			expect(await lab.driver.compare(golden.domain)).toEqual([]);
			await lab.client.domainUndefineFlags(defined, undefineFlags.nvram);
		};
		if (kvm || golden.domain.accelerator === "tcg") test(title, body, limitMs);
		else test.skip(`${title} (this machine has no /dev/kvm)`, body);
	}
});
