/** Where downloads do not go: inside, by other protocols, through proxies, to whom no certificate vouches for. */
import { describe, expect, test } from "bun:test";
import "reflect-metadata";
import { networkInterfaces } from "node:os";
import * as x509 from "@peculiar/x509";
import { type Clock, systemClock } from "../../lib/clock.ts";
import { expectSame, fails, newId } from "../conformance.ts";
import { FakeStorageDriver } from "../fake.ts";
import { httpGet } from "./http-get.ts";
import { content, contentOf, download, fileServer, head, stranger } from "./stranger.ts";

/** Where requests are counted, none is made again because this machine is busy. */
const patient = { stallMs: 8000 };

describe("where it does not go", () => {
	const inside = [
		...[
			"http://127.0.0.1:PORT/",
			"http://127.1:PORT/",
			"http://0x7f.1:PORT/",
			"http://2130706433:PORT/",
			"http://0177.0.0.1:PORT/",
		],
		...[
			"http://localhost:PORT/",
			"http://[::1]:PORT/",
			"http://[::ffff:127.0.0.1]:PORT/",
			"http://[::ffff:7f00:1]:PORT/",
		],
		...[
			"http://0.0.0.0:PORT/",
			"http://[::]:PORT/",
			"http://169.254.169.254/latest/meta-data/",
			"http://[fe80::1]/",
			"http://[64:ff9b::7f00:1]:PORT/",
		],
		"http://①②⑦.0.0.1:PORT/",
	];
	for (const url of inside)
		test(`not to ${url}`, async () => {
			await using server = await stranger(fileServer(content));
			const target = url.replace("PORT", `${server.port}`);
			const [driver, id] = [new FakeStorageDriver(), newId()];
			await fails("invalid", download(driver, id, target, { allowLoopback: false }));
			expect(server.connections()).toBe(0);
			expect(await driver.getUpload(id)).toBeNull();
		});

	for (const url of [
		"file:///etc/passwd",
		"ftp://127.0.0.1/x",
		"gopher://127.0.0.1/",
		"data:,x",
		"javascript:1",
		"unix:/run/x",
		"",
		"disk.raw",
		"http://",
		"//host/x",
		"http://user:secret@127.0.0.1/",
		"http://a b/",
	])
		test(`not with ${url || "(nothing)"}`, () => fails("invalid", download(new FakeStorageDriver(), newId(), url)));

	test("not to a name with an address inside, not even as one of many", async () => {
		await using server = await stranger(fileServer(content));
		const url = `http://mirror.test:${server.port}/`;
		for (const addresses of [["127.0.0.1"], ["198.51.100.1", "127.0.0.1"], ["::1"], ["169.254.169.254"], ["nonsense"]])
			await fails(
				"invalid",
				download(new FakeStorageDriver(), newId(), url, { allowLoopback: false, resolve: async () => addresses }),
			);
		await fails("unavailable", download(new FakeStorageDriver(), newId(), url, { resolve: async () => [] }));
		expect(server.connections()).toBe(0);
	});

	test("the name is asked once for each request, and the connection goes to that answer", async () => {
		await using server = await stranger(fileServer(content));
		const asked: string[] = [];
		const resolve = async (name: string) => {
			asked.push(name);
			return asked.length === 1 ? ["127.0.0.1"] : ["169.254.169.254"];
		};
		const [driver, id] = [new FakeStorageDriver(), newId()];
		// No resolver of this machine knows the name: only our answer can have been used.
		await download(driver, id, `http://rebinding.test:${server.port}/x?y=1#z`, { resolve });
		expect(asked).toEqual(["rebinding.test"]);
		expect(server.requests[0]?.path).toBe("/x?y=1");
		expect(server.requests[0]?.headers.host).toBe(`rebinding.test:${server.port}`);
		expectSame(await contentOf(driver, id), content);
		await fails("invalid", download(driver, newId(), `http://rebinding.test:${server.port}/`, { resolve }));
		expect(server.connections()).toBe(1);
	});

	test("another address of the name is used when one does not answer", async () => {
		await using server = await stranger(fileServer(content));
		const resolve = async () => ["127.0.0.2", "127.0.0.1"];
		const [driver, id] = [new FakeStorageDriver(), newId()];
		await download(driver, id, `http://two.test:${server.port}/`, { resolve });
		expectSame(await contentOf(driver, id), content);
	});

	for (const location of [
		...[
			"file:///etc/passwd",
			"ftp://127.0.0.1/x",
			"http://169.254.169.254/latest/",
			"http://[::ffff:169.254.169.254]/",
			"//0.0.0.0/",
		],
		...["http://user@127.0.0.1/", "javascript:alert(1)", "http://"],
	])
		test(`not by a redirect to ${location}`, async () => {
			await using server = await stranger((socket) =>
				socket.end(head("302 Found", { Location: location, "Content-Length": 0 })),
			);
			await fails("invalid", download(new FakeStorageDriver(), newId(), server, patient));
			expect(server.requests).toHaveLength(1);
		});

	// The server on loopback stands for a public one: it has no address of a private network.
	for (const target of [
		"http://10.255.255.1/",
		"http://[fd12::1]/",
		"http://[::ffff:192.168.1.1]/",
		"http://inside.test/",
	])
		test(`not by a redirect from a public server to ${target}`, async () => {
			await using server = await stranger((socket, request) => {
				const next = request.count === 1 ? "/again" : target;
				socket.end(head("302 Found", { Location: next, "Content-Length": 0 }));
			});
			const resolve = async () => ["192.168.7.7"];
			const message = await fails(
				"invalid",
				download(new FakeStorageDriver(), newId(), server, { ...patient, resolve }),
			);
			expect(message).toContain("a public server leads to a private address");
			expect(server.requests).toHaveLength(2);
		});

	test("not to this node's own addresses", async () => {
		const outer = Object.values(networkInterfaces())
			.flatMap((addresses) => addresses ?? [])
			.filter(({ internal, address }) => !internal && !address.startsWith("fe80:"))
			.map(({ address, family }) => (family === "IPv6" ? `[${address}]` : address));
		const strict = { allowLoopback: false };
		for (const host of outer)
			await fails("invalid", download(new FakeStorageDriver(), newId(), `http://${host}:1/`, strict));
		const named = { ...strict, ownAddresses: ["198.51.100.7"], resolve: async () => ["198.51.100.7"] };
		const message = await fails("invalid", download(new FakeStorageDriver(), newId(), "http://me.test/", named));
		expect(message).toContain("an address of this node");
	});

	test("one message for a port that is closed and for one that lets nobody in", async () => {
		const closed = await stranger(() => {});
		await closed[Symbol.asyncDispose]();
		const url = `http://127.0.0.1:${closed.port}/`;
		const message = `No connection to 127.0.0.1:${closed.port} could be made.`;
		const once = { attempts: 1 };
		expect(await fails("unavailable", download(new FakeStorageDriver(), newId(), url, once))).toBe(message);
		// The time is over before there is a connection, as behind a filter.
		await using server = await stranger(() => {});
		const clock: Clock = {
			...systemClock,
			schedule(_afterMs, work) {
				work();
				return { cancel() {} };
			},
		};
		const filtered = httpGet(new URL(`http://127.0.0.1:${server.port}/`), {
			...{ headers: {}, signal: new AbortController().signal, headTimeoutMs: 1, addressIndex: 0, clock },
			allowLoopback: true,
		});
		expect(await fails("unavailable", filtered)).toBe(message.replace(`${closed.port}`, `${server.port}`));
	});

	test("not through a proxy of the environment", async () => {
		await using server = await stranger(fileServer(content));
		await using proxy = await stranger((socket) => socket.end(head("502 Bad Gateway")));
		const names = ["HTTP_PROXY", "http_proxy", "ALL_PROXY"];
		const before = names.map((name) => process.env[name]);
		for (const name of names) process.env[name] = `http://127.0.0.1:${proxy.port}`;
		try {
			await download(new FakeStorageDriver(), newId(), server);
			expect(proxy.connections()).toBe(0);
		} finally {
			for (const [index, name] of names.entries()) {
				if (before[index] === undefined) delete process.env[name];
				else process.env[name] = before[index];
			}
		}
	});
});

describe("https", () => {
	const resolve = async () => ["127.0.0.1"];

	test("the certificate must be trusted and name the server", async () => {
		const tls = await certificate("mirror.test");
		await using server = await stranger(fileServer(content), tls);
		const [driver, id] = [new FakeStorageDriver(), newId()];
		const at = (name: string) => `https://${name}:${server.port}/`;
		await fails("unavailable", download(driver, id, at("mirror.test"), { resolve }));
		const trusting = { resolve, extraCertificates: [tls.cert] };
		await fails("unavailable", download(driver, id, at("other.test"), trusting));
		expect(server.requests).toHaveLength(0);
		await download(driver, id, at("mirror.test"), trusting);
		expectSame(await contentOf(driver, id), content);
		// Still none without it: nothing is remembered.
		await fails("unavailable", download(driver, newId(), at("mirror.test"), { resolve }));
	});

	test("no redirect from https to http", async () => {
		const tls = await certificate("mirror.test");
		await using plain = await stranger(fileServer(content));
		await using server = await stranger(
			(socket) => socket.end(head("302 Found", { Location: `http://127.0.0.1:${plain.port}/`, "Content-Length": 0 })),
			tls,
		);
		const options = { resolve, extraCertificates: [tls.cert] };
		await fails("invalid", download(new FakeStorageDriver(), newId(), `https://mirror.test:${server.port}/`, options));
		expect(plain.connections()).toBe(0);
	});
});

async function certificate(name: string): Promise<{ cert: string; key: string }> {
	const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
	const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
	const made = await x509.X509CertificateGenerator.createSelfSigned({
		...{ serialNumber: "01", name: `CN=${name}`, keys, signingAlgorithm: algorithm },
		notBefore: new Date(Date.now() - 3_600_000),
		notAfter: new Date(Date.now() + 3_600_000),
		extensions: [
			new x509.BasicConstraintsExtension(true, undefined, true),
			new x509.SubjectAlternativeNameExtension([{ type: "dns", value: name }]),
		],
	});
	const key = Buffer.from(await crypto.subtle.exportKey("pkcs8", keys.privateKey)).toString("base64");
	return { cert: made.toString("pem"), key: `-----BEGIN PRIVATE KEY-----\n${key}\n-----END PRIVATE KEY-----\n` };
}
