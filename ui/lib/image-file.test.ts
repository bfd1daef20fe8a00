import { expect, test } from "bun:test";
import { fingerprint, formatFromName, nameFromFile, sniffFormat } from "./image-file.ts";

test("formats are known by their first bytes", async () => {
	const iso = new Uint8Array(40_000);
	iso.set(new TextEncoder().encode("CD001"), 32_769);
	expect(await sniffFormat(new Blob([Uint8Array.of(0x51, 0x46, 0x49, 0xfb, 0, 0, 0, 3)]))).toBe("qcow2");
	expect(await sniffFormat(new Blob([iso]))).toBe("iso");
	const disk = new Uint8Array(512);
	disk.set([0x55, 0xaa], 510);
	expect(await sniffFormat(new Blob([disk]))).toBe("raw");
	// An ISO that also boots from a stick has both.
	iso.set([0x55, 0xaa], 510);
	expect(await sniffFormat(new Blob([iso]))).toBe("iso");
	for (const unknown of ["notes\n".repeat(200), "", new Uint8Array(512)])
		expect(await sniffFormat(new Blob([unknown]))).toBeNull();
});

test("names that the API takes are made of file names and addresses", () => {
	const cases: [string, string][] = [
		["debian-13-generic-amd64.qcow2", "debian-13-generic-amd64"],
		["Windows Server (2025).iso", "Windows-Server-2025"],
		["https://images.example/a/noble.img", "noble"],
		["https://images.example/noble.img?sum=1", "noble"],
		["/srv/images/übung.raw", "bung"],
		["", ""],
	];
	for (const [file, name] of cases) expect(nameFromFile(file)).toBe(name);
	expect(nameFromFile("x".repeat(100)).length).toBe(63);
	expect(formatFromName("a.ISO")).toBe("iso");
});

test("a fingerprint is of the beginning only", async () => {
	const long = new Blob([new Uint8Array(3 * 1024 * 1024)]);
	expect(await fingerprint(long)).toBe(await fingerprint(new Blob([new Uint8Array(1024 * 1024)])));
	expect(await fingerprint(new Blob(["a"]))).not.toBe(await fingerprint(new Blob(["b"])));
});
