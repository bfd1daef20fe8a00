/** The documents against their golden files (rewrite with UPDATE_GOLDEN=1), and that no value breaks out of its place. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import fc from "fast-check";
import { parse } from "yaml";
import { fails } from "../conformance.ts";
import { hostnameOf, seedDocuments } from "./documents.ts";
import { sampleContext as context, documentsOf, form, samples } from "./samples.ts";

for (const sample of samples)
	test(`golden: ${sample.name}`, async () => {
		const text = Object.entries(documentsOf(sample))
			.map(([key, value]) => `=== ${key}\n${value ?? "(none)\n"}`)
			.join("");
		const golden = Bun.file(join(import.meta.dir, "golden", `${sample.name.replaceAll(" ", "-")}.txt`));
		if (process.env.UPDATE_GOLDEN) await golden.write(text);
		expect(text).toBe(await golden.text());
	});

test("raw documents are passed on to the byte", () => {
	const raw = { kind: "raw", userData: "\u0000\r\n{", metaData: "instance-id: mine\n", networkConfig: null } as const;
	expect(seedDocuments(raw, context)).toEqual({ userData: raw.userData, metaData: raw.metaData, networkConfig: null });
});

test("whatever the form holds is read back as it was", () => {
	const word = fc.string({ unit: "binary", maxLength: 40 });
	fc.assert(
		fc.property(word, word, fc.array(word, { maxLength: 4 }), (hostname, name, texts) => {
			const users = [{ name, sshKeys: texts, passwordHash: name, sudo: true }];
			const network = { dhcp4: true, addresses: texts, gateway4: hostname, nameservers: texts };
			const spec = form({ hostname, users, packages: texts, network });
			let documents: ReturnType<typeof seedDocuments>;
			try {
				documents = seedDocuments(spec, context);
			} catch {
				expect([hostname, name, ...texts].join("")).toMatch(
					/[\u0000-\u001f\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]/,
				);
				return;
			}
			expect(parse(documents.metaData)).toEqual({ "instance-id": context.instanceId, "local-hostname": hostname });
			expect(documents.userData).toStartWith("#cloud-config\n");
			const config = parse(documents.userData);
			expect(config.users[0]).toMatchObject({ name, hashed_passwd: name });
			expect(config.users[0].ssh_authorized_keys ?? []).toEqual(texts);
			expect(config.packages ?? []).toEqual(texts);
			expect(parse(documents.networkConfig ?? "").ethernets.primary.addresses ?? []).toEqual(texts);
		}),
	);
});

test("control characters are refused", async () => {
	for (const bad of ["a\nb", "a\rb", "\u0000", "\u007f", "\u0085", "\u2028", "\ud800"]) {
		const users = [{ name: "a", sshKeys: [bad], passwordHash: null, sudo: false }];
		await fails("invalid", (async () => seedDocuments(form({ users }), context))());
	}
});

test("host names from VM names", () => {
	const expected = { "web-1": "web-1", db_1: "db-1", "a.b_c": "a.b-c", _x_: "x", "-": "vm", "a..b": "a.b", Ünï: "n" };
	for (const [name, hostname] of Object.entries(expected)) expect(hostnameOf(name)).toBe(hostname);
	expect(hostnameOf("x".repeat(100))).toHaveLength(63);
});
