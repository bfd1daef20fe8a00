/** Downloads from servers of every kind: proper, broken, slow, endless, and such that want us to ask somebody else. */
import { describe, expect, test } from "bun:test";
import { isAppError } from "../lib/errors.ts";
import { MiB } from "../lib/units.ts";
import { expectSame, fails, newId, pattern } from "./conformance.ts";
import { FakeStorageDriver } from "./fake.ts";
import { content, contentOf, download, fileServer, head, stranger } from "./fetch/stranger.ts";

describe("proper servers", () => {
	test("a download arrives whole, with progress", async () => {
		await using server = await stranger(fileServer(content, { etag: '"one"' }));
		const [driver, id] = [new FakeStorageDriver(), newId()];
		const progress: (number | null)[] = [];
		const result = await download(driver, id, server, { progress: (ratio) => progress.push(ratio) });
		expect(result).toEqual({ receivedBytes: content.length, url: `http://127.0.0.1:${server.port}/disk.raw` });
		expect(progress.at(-1)).toBe(1);
		expect(await driver.getUpload(id)).toEqual({
			receivedBytes: content.length,
			totalBytes: content.length,
			validator: '"one"',
		});
		expectSame(await contentOf(driver, id), content);
		const { headers } = server.requests[0] ?? { headers: {} };
		expect(headers).toMatchObject({ host: `127.0.0.1:${server.port}`, "accept-encoding": "identity" });
		expect(Object.keys(headers)).not.toContain("authorization");
	});

	test("chunked, without a length", async () => {
		await using server = await stranger((socket) => {
			socket.write(head("200 OK", { "Transfer-Encoding": "chunked" }));
			for (let at = 0; at < content.length; at += 70_000) {
				const part = content.subarray(at, at + 70_000);
				socket.write(`${part.length.toString(16)}\r\n`);
				socket.write(part);
				socket.write("\r\n");
			}
			socket.end("0\r\n\r\n");
		});
		const [driver, id] = [new FakeStorageDriver(), newId()];
		await download(driver, id, server);
		expectSame(await contentOf(driver, id), content);
	});

	test("redirects, relative and absolute, are followed up to a limit", async () => {
		await using server = await stranger((socket, request) => {
			const at = Number(request.path.slice(1));
			if (at === 0) return fileServer(content)(socket, request);
			const next = at % 2 ? `/${at - 1}` : `http://127.0.0.1:${socket.localPort}/${at - 1}`;
			socket.end(head("302 Found", { Location: next, "Content-Length": 0 }));
		});
		const [driver, id] = [new FakeStorageDriver(), newId()];
		await download(driver, id, `http://127.0.0.1:${server.port}/5`);
		expectSame(await contentOf(driver, id), content);
		const message = await fails("unavailable", download(driver, newId(), `http://127.0.0.1:${server.port}/6`));
		expect(message).toContain("redirects more than 5 times");
	});
});

describe("cut downloads", () => {
	test("go on where they stopped", async () => {
		await using server = await stranger(
			fileServer(content, { etag: '"v1"', ranges: true, cutAfter: [1_000_000, 500_000] }),
		);
		const [driver, id] = [new FakeStorageDriver(), newId()];
		await download(driver, id, server);
		expect(server.requests.map(({ headers }) => headers.range)).toEqual([
			undefined,
			"bytes=1000000-",
			"bytes=1500000-",
		]);
		expect(server.requests[1]?.headers["if-range"]).toBe('"v1"');
		expectSame(await contentOf(driver, id), content);
	});

	test("go on in a later call, as after a restart", async () => {
		await using server = await stranger(fileServer(content, { etag: '"v1"', ranges: true, cutAfter: [1_000_000] }));
		const [driver, id] = [new FakeStorageDriver(), newId()];
		await fails("unavailable", download(driver, id, server, { attempts: 1 }));
		expect((await driver.getUpload(id))?.receivedBytes).toBe(1_000_000);
		await download(new FakeStorageDriver(driver.pool), id, server);
		expect(server.requests[1]?.headers.range).toBe("bytes=1000000-");
		await download(driver, id, server);
		expect(server.requests).toHaveLength(2);
		expectSame(await contentOf(driver, id), content);
	});

	for (const [name, etag, ranges] of [
		["the server knows no ranges", '"v1"', false],
		["the ETag is weak", 'W/"v1"', true],
		["there is no ETag", undefined, true],
	] as const)
		test(`begin again when ${name}`, async () => {
			const options = { ranges, cutAfter: [1_000_000], ...(etag ? { etag } : {}) };
			await using server = await stranger(fileServer(content, options));
			const [driver, id] = [new FakeStorageDriver(), newId()];
			await download(driver, id, server);
			expectSame(await contentOf(driver, id), content);
		});

	test("begin again when the file has changed, whatever the server says", async () => {
		const other = pattern(MiB, 5);
		await using server = await stranger((socket, request) => {
			if (request.count === 1) return fileServer(content, { etag: '"v1"', cutAfter: [600_000] })(socket, request);
			// Claims to go on, with another file.
			if (request.count === 2)
				return socket.end(
					head("206 Partial Content", {
						...{ ETag: '"v2"', "Content-Length": other.length - 600_000 },
						"Content-Range": `bytes 600000-${other.length - 1}/${other.length}`,
					}),
				);
			fileServer(other, { etag: '"v2"' })(socket, request);
		});
		const [driver, id] = [new FakeStorageDriver(), newId()];
		await download(driver, id, server, { attempts: 5 });
		expectSame(await contentOf(driver, id), other);
	});

	for (const contentRange of [
		"bytes 0-9/10",
		"bytes 600001-2097151/2097152",
		"bytes 600000-2097150/2097152",
		"bytes 600000-2097151/*",
		"garbage",
		"",
	])
		test(`a wrong Content-Range is not believed: ${contentRange || "(none)"}`, async () => {
			await using server = await stranger((socket, request) => {
				if (request.count !== 2) return fileServer(content, { etag: '"v1"', cutAfter: [600_000] })(socket, request);
				socket.write(
					head("206 Partial Content", { ETag: '"v1"', "Content-Length": 10, "Content-Range": contentRange }),
				);
				socket.end(new Uint8Array(10));
			});
			const [driver, id] = [new FakeStorageDriver(), newId()];
			await download(driver, id, server, { attempts: 5 });
			expectSame(await contentOf(driver, id), content);
		});

	test("end after some tries, and say so", async () => {
		await using server = await stranger(fileServer(content, { cutAfter: Array(20).fill(1000) }));
		const [driver, id] = [new FakeStorageDriver(), newId()];
		await fails("unavailable", download(driver, id, server));
		expect(server.requests.length).toBeLessThanOrEqual(4);
	});

	test("a chunked download that ends in the middle is not whole", async () => {
		await using server = await stranger((socket) => {
			socket.write(head("200 OK", { "Transfer-Encoding": "chunked" }));
			socket.end("5\r\nabcde\r\n");
		});
		await fails("unavailable", download(new FakeStorageDriver(), newId(), server));
	});

	test("a server that fails for a while is asked again; one that says no is not", async () => {
		await using server = await stranger((socket, request) => {
			if (request.count < 3) socket.end(head("503 Service Unavailable", { "Content-Length": 0 }));
			else fileServer(content)(socket, request);
		});
		const [driver, id] = [new FakeStorageDriver(), newId()];
		await download(driver, id, server);
		expectSame(await contentOf(driver, id), content);
		for (const status of [
			"404 Not Found",
			"403 Forbidden",
			"401 Unauthorized",
			"410 Gone",
			"204 No Content",
			"304 Not Modified",
		]) {
			await using refusing = await stranger((socket) => socket.end(head(status, { "Content-Length": 0 })));
			expect(await fails("invalid", download(driver, newId(), refusing))).toContain(status.slice(0, 3));
			expect(refusing.requests).toHaveLength(1);
		}
	});
});

describe("limits", () => {
	test("length: announced or not", async () => {
		const driver = new FakeStorageDriver();
		const maxBytes = 100_000;
		{
			await using server = await stranger(fileServer(content));
			await fails("too-large", download(driver, newId(), server, { maxBytes }));
			expect(server.requests).toHaveLength(1);
		}
		await using endless = await stranger((socket) => {
			socket.write(head("200 OK", { "Transfer-Encoding": "chunked" }));
			const part = `4000\r\n${"x".repeat(0x4000)}\r\n`;
			const more = () => {
				while (!socket.destroyed && socket.write(part));
				if (!socket.destroyed) socket.once("drain", more);
			};
			more();
		});
		const id = newId();
		await fails("too-large", download(driver, id, endless, { maxBytes }));
		expect((await driver.getUpload(id))?.receivedBytes).toBeLessThanOrEqual(maxBytes);
	});

	test("space in the pool", async () => {
		await using server = await stranger(fileServer(content));
		const driver = new FakeStorageDriver();
		driver.pool.totalBytes = MiB;
		const id = newId();
		await fails("no-space", download(driver, id, server));
		expect(await driver.getUpload(id)).toBeNull();
	});

	test("silence, before and in the middle of the answer, and a byte now and then", async () => {
		const driver = new FakeStorageDriver();
		await using silent = await stranger(() => {});
		await fails("timeout", download(driver, newId(), silent, { attempts: 1 }));
		await using stalling = await stranger((socket) => {
			socket.write(head("200 OK", { "Content-Length": 100_000 }));
			socket.write(pattern(5000));
		});
		await fails("timeout", download(driver, newId(), stalling, { attempts: 1 }));
		await using dripping = await stranger((socket) => {
			socket.write(head("200 OK", { "Content-Length": 100_000 }));
			const drip = setInterval(() => socket.write("x"), 20);
			socket.on("close", () => clearInterval(drip));
		});
		await fails("timeout", download(driver, newId(), dripping, { attempts: 1 }));
	});

	test("the whole time, although bytes come", async () => {
		await using server = await stranger((socket) => {
			socket.write(head("200 OK", { "Content-Length": 1_000_000_000 }));
			const drip = setInterval(() => socket.write(pattern(2000)), 10);
			socket.on("close", () => clearInterval(drip));
		});
		const message = await fails("timeout", download(new FakeStorageDriver(), newId(), server, { totalMs: 400 }));
		expect(message).toContain("longer than it may");
	});

	test("cancel, before and during", async () => {
		await using server = await stranger((socket) => {
			socket.write(head("200 OK", { "Content-Length": 1_000_000 }));
			socket.write(pattern(5000));
		});
		const driver = new FakeStorageDriver();
		await fails("canceled", download(driver, newId(), server, { signal: AbortSignal.abort() }));
		expect(server.requests).toHaveLength(0);
		const abort = new AbortController();
		const id = newId();
		const options = { signal: abort.signal, progress: () => abort.abort(), stallMs: 5000 };
		await fails("canceled", download(driver, id, server, options));
		// Closed: the next one can go on.
		await (await driver.openUpload(id, null)).close();
	});
});

describe("answers that are not taken", () => {
	const answers: { name: string; bytes: string; code: "invalid" | "unavailable" }[] = [
		{
			name: "an encoding",
			bytes: `${head("200 OK", { "Content-Encoding": "gzip", "Content-Length": 3 })}abc`,
			code: "invalid",
		},
		{ name: "no length", bytes: `${head("200 OK")}abc`, code: "invalid" },
		{ name: "nothing at all", bytes: head("200 OK", { "Content-Length": 0 }), code: "invalid" },
		{
			name: "two lengths",
			bytes: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
			code: "unavailable",
		},
		{
			name: "length and chunks",
			bytes: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
			code: "unavailable",
		},
		{ name: "a length below zero", bytes: head("200 OK", { "Content-Length": -5 }), code: "unavailable" },
		{ name: "a length of 30 digits", bytes: head("200 OK", { "Content-Length": "9".repeat(30) }), code: "unavailable" },
		{ name: "not HTTP", bytes: "SSH-2.0-OpenSSH_9.2\r\n", code: "unavailable" },
		{
			name: "an endless head",
			bytes: `HTTP/1.1 200 OK\r\n${`X-Pad: ${"a".repeat(1000)}\r\n`.repeat(2000)}`,
			code: "unavailable",
		},
		{
			name: "a range that was not asked for",
			bytes: head("206 Partial Content", { "Content-Length": 3, "Content-Range": "bytes 0-2/3" }),
			code: "invalid",
		},
		{ name: "a redirect to nowhere", bytes: head("302 Found", { "Content-Length": 0 }), code: "unavailable" },
	];
	for (const { name, bytes, code } of answers)
		test(name, async () => {
			await using server = await stranger((socket) => socket.end(bytes, "latin1"));
			const driver = new FakeStorageDriver();
			const id = newId();
			await fails(code, download(driver, id, server, { attempts: 2 }));
			expect((await driver.getUpload(id))?.receivedBytes ?? 0).toBe(0);
		});
});

test("a disk that fills up ends the download at once", async () => {
	await using server = await stranger(fileServer(content, { etag: '"v1"' }));
	const driver = new FakeStorageDriver();
	const id = newId();
	const check = driver.check.bind(driver);
	driver.check = async () => ({ ...(await check()), availableBytes: 10 * MiB });
	driver.pool.totalBytes = MiB;
	try {
		await download(driver, id, server);
		throw new Error("nothing failed");
	} catch (error) {
		expect(isAppError(error, "no-space")).toBe(true);
	}
	expect(server.requests).toHaveLength(1);
});
