/** Who is trusted: nobody gets a password or a token before the certificate is known to be the right one. */
import { afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nodeCertificate, signedCertificate, type TestCertificate } from "../../testing/cli/certificates.ts";
import { type FakeApi, fakeApi, page } from "../../testing/cli/fake-api.ts";
import { fakeIo } from "../../testing/cli/fake-io.ts";
import { cli } from "../../testing/cli/run-cli.ts";
import { fixtureId, fixtureSession, fixtureUser, fixtureVm } from "../../testing/fixtures.ts";

const token = "lqx_secret_token";
let own: TestCertificate;
let other: TestCertificate;
beforeAll(async () => {
	own = await nodeCertificate();
	other = await nodeCertificate();
});

const undo: (() => Promise<void> | void)[] = [];
afterEach(async () => {
	for (const step of undo.splice(0).reverse()) await step();
});

function serve(certificate: TestCertificate): FakeApi {
	const api = fakeApi({ tls: certificate }, { vmList: () => page(fixtureVm()) });
	undo.push(() => api.stop());
	return api;
}

function folder(): string {
	const path = mkdtempSync(join(tmpdir(), "lqx-cli-"));
	undo.push(() => rmSync(path, { recursive: true, force: true }));
	return path;
}

const list = (api: FakeApi, ...more: string[]) =>
	cli(["vm", "list", "-o", "json", "--server", api.url, "--token", token, ...more]);

describe("a fingerprint", () => {
	test("that is right lets the token through, in whatever form it is written", async () => {
		const api = serve(own);
		for (const form of [
			own.fingerprint,
			own.fingerprint.toLowerCase(),
			own.fingerprint.replaceAll(":", ""),
			`sha256:${own.fingerprint}`,
		]) {
			const { code, err } = await list(api, "--fingerprint", form);
			expect({ form, code, err }).toEqual({ form, code: 0, err: "" });
		}
		expect(api.requests.every((request) => request.headers.get("authorization") === `Bearer ${token}`)).toBe(true);
	});

	test("that is wrong stops everything before anything is sent", async () => {
		const api = serve(own);
		const { code, out, err } = await list(api, "--fingerprint", other.fingerprint);
		expect({ code, out }).toEqual({ code: 1, out: "" });
		expect(err).toContain(own.fingerprint);
		expect(api.requests).toEqual([]);
	});

	test("counts for another address of the node too, which its certificate does not name", async () => {
		const named = await signedCertificate({ selfSigned: true, name: "elsewhere.example" });
		const api = serve(named);
		expect((await list(api)).code).toBe(1);
		expect((await list(api, "--fingerprint", named.fingerprint)).code).toBe(0);
	});

	test("does not make an expired certificate good", async () => {
		const old = await signedCertificate({ selfSigned: true, expired: true });
		const api = serve(old);
		const { code, err } = await list(api, "--fingerprint", old.fingerprint);
		expect(code).toBe(1);
		expect(err).toContain("CERT_HAS_EXPIRED");
		expect(api.requests).toEqual([]);
	});

	test("of a certificate that an authority signed needs the authority as well", async () => {
		const signed = await signedCertificate();
		const api = serve(signed);
		const authority = join(folder(), "ca.pem");
		writeFileSync(authority, signed.authority);
		expect((await list(api, "--fingerprint", signed.fingerprint)).err).toContain("--cacert");
		expect((await list(api, "--fingerprint", signed.fingerprint, "--cacert", authority)).code).toBe(0);
		expect((await list(api, "--fingerprint", other.fingerprint, "--cacert", authority)).code).toBe(1);
		expect(api.requests).toHaveLength(1);
	});

	test("is looked at again when the server changes between two connections", async () => {
		const { createConnection } = await import("./connection.ts");
		const { parseFingerprint } = await import("./target.ts");
		const api = serve(own);
		const port = Number(new URL(api.url).port);
		const target = {
			kind: "server",
			url: api.url,
			token,
			fingerprint: parseFingerprint(own.fingerprint),
			authorities: null,
		} as const;
		const connection = createConnection(target, fakeIo().clock);
		await connection.trust();
		await api.stop();
		const seen: string[] = [];
		const impostor = Bun.serve({
			hostname: "127.0.0.1",
			port,
			tls: other,
			fetch(request) {
				seen.push(request.headers.get("authorization") ?? "none");
				return new Response("{}");
			},
		});
		undo.push(() => impostor.stop(true));
		const request = connection.fetch(`${api.url}/v1/vms`, { headers: connection.headers() });
		await expect(request).rejects.toMatchObject({ code: "forbidden" });
		expect(seen).toEqual([]);
	});
});

describe("without a fingerprint", () => {
	test("a certificate that nobody vouches for is refused, and its fingerprint is shown", async () => {
		const api = serve(own);
		const { code, err } = await list(api);
		expect(code).toBe(1);
		expect(err).toContain(`--fingerprint ${own.fingerprint}`);
		expect(api.requests).toEqual([]);
	});

	test("an authority of one's own is enough", async () => {
		const signed = await signedCertificate();
		const api = serve(signed);
		const authority = join(folder(), "ca.pem");
		writeFileSync(authority, signed.authority);
		expect((await list(api)).code).toBe(1);
		expect((await list(api, "--cacert", authority)).code).toBe(0);
		const { cert } = own;
		writeFileSync(authority, cert);
		expect((await list(api, "--cacert", authority)).code).toBe(1);
		expect(api.requests).toHaveLength(1);
	});
});

test("nothing but TLS is spoken to another machine, and nothing is sent to who does not speak it", async () => {
	const { code, err } = await cli("vm list --server http://192.0.2.1:8443 --token t");
	expect({ code, said: err.includes("https://") }).toEqual({ code: 2, said: true });
	const heard: Buffer[] = [];
	const plain: Server = createServer((socket) => {
		socket.on("data", (data: Buffer) => {
			heard.push(data);
			socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
		});
		socket.on("error", () => {});
	});
	await new Promise<void>((resolve) => plain.listen(0, "127.0.0.1", resolve));
	undo.push(() => new Promise<void>((resolve) => plain.close(() => resolve())));
	const address = plain.address();
	const port = typeof address === "object" && address ? address.port : 0;
	for (const pin of [[], ["--fingerprint", own.fingerprint]])
		expect((await cli(["vm", "list", "--server", `https://127.0.0.1:${port}`, "--token", token, ...pin])).code).toBe(3);
	expect(heard.length).toBeGreaterThan(0);
	expect(Buffer.concat(heard).includes(token)).toBe(false);
});

test("a redirect is not followed", async () => {
	const elsewhere = serve(own);
	const api = serve(own);
	api.handlers.vmList = () => new Response(null, { status: 307, headers: { location: `${elsewhere.url}/v1/vms` } });
	expect((await list(api, "--fingerprint", own.fingerprint)).code).toBe(1);
	expect(elsewhere.requests).toEqual([]);
});

describe("the console's WebSocket", () => {
	const ticketed = (certificate: TestCertificate) => {
		const api = serve(certificate);
		const protocols = ["binary", "lqx.ticket.abc"];
		api.handlers.vmConsoleTicketCreate = () =>
			Response.json({
				ticket: "abc",
				expiresAt: "2030-01-01T00:00:00Z",
				path: "/v1/console",
				protocols,
				viewOnly: false,
			});
		return api;
	};

	test("is pinned as well, and carries the ticket but no token", async () => {
		const api = ticketed(own);
		api.onSocket = (socket, message) => {
			if (message === null) socket.close(1000, "");
		};
		const console = cli([
			"vm",
			"console",
			fixtureId(9),
			"--server",
			api.url,
			"--token",
			token,
			"--fingerprint",
			own.fingerprint,
		]);
		expect((await console).code).toBe(0);
		const upgrade = api.requests.at(-1);
		expect(upgrade?.path).toBe("/v1/console");
		expect(upgrade?.headers.get("sec-websocket-protocol")).toBe("binary, lqx.ticket.abc".replace(", ", ","));
		expect(upgrade?.headers.get("authorization")).toBeNull();
		expect(upgrade?.headers.get("origin")).toBeNull();
	});

	test("of a server with another certificate gets no ticket", async () => {
		const { openConsoleSocket } = await import("./web-socket.ts");
		const { createConnection } = await import("./connection.ts");
		const { pinnedTrust } = await import("./certificate.ts");
		const { parseFingerprint } = await import("./target.ts");
		const good = serve(own);
		const bad = ticketed(other);
		const trust = await pinnedTrust(good.url, parseFingerprint(own.fingerprint), null, fakeIo().clock);
		const target = { kind: "server", url: bad.url, token, fingerprint: null, authorities: null } as const;
		const connection = { ...createConnection(target, fakeIo().clock), trust: async () => trust };
		await expect(openConsoleSocket(connection, "/v1/console", ["lqx.ticket.abc"], () => {})).rejects.toMatchObject({
			code: "unavailable",
		});
		expect(bad.requests).toEqual([]);
	});
});

describe("login", () => {
	const secret = "correct horse battery";
	function server(): FakeApi {
		const api = serve(own);
		api.handlers.healthGet = () => ({
			version: "1",
			nodeId: fixtureId(2),
			leader: null,
			quorum: true,
			appliedIndex: 1,
			hypervisor: "connected",
		});
		api.handlers.sessionCreate = () => ({
			session: fixtureSession(),
			user: fixtureUser({ mustChangePassword: true }),
			token: "session-token",
		});
		api.handlers.sessionDeleteCurrent = () => null;
		return api;
	}

	test("keeps token and fingerprint for the commands that follow, readable by its owner only", async () => {
		const api = server();
		const homeDir = folder();
		const passwordFile = join(homeDir, "password");
		writeFileSync(passwordFile, `${secret}\n`);
		const signIn = await cli(
			[
				"login",
				"--server",
				api.url,
				"--username",
				"admin",
				"--fingerprint",
				own.fingerprint,
				"--password-file",
				passwordFile,
			],
			{ io: fakeIo({ homeDir }) },
		);
		expect(signIn.code).toBe(0);
		expect(signIn.out).toContain("admin (admin)");
		expect(signIn.out + signIn.err).not.toContain("session-token");
		expect(signIn.err).toContain("limiquantix me password");
		expect(api.requests.at(-1)?.json).toEqual({ username: "admin", password: secret });
		const path = join(homeDir, ".config/limiquantix/logins.json");
		expect((await Bun.file(path).stat()).mode & 0o777).toBe(0o600);

		// Without naming a server.
		expect((await cli("vm list -o json", { io: fakeIo({ homeDir }) })).code).toBe(0);
		expect(api.requests.at(-1)?.headers.get("authorization")).toBe("Bearer session-token");
		// The token goes to no other server.
		const stranger = serve(own);
		await cli(["vm", "list", "-o", "json", "--server", stranger.url, "--fingerprint", own.fingerprint], {
			io: fakeIo({ homeDir }),
		});
		expect(stranger.requests.at(-1)?.headers.get("authorization")).toBeNull();

		const out = await cli("logout", { io: fakeIo({ homeDir }) });
		expect(out.code).toBe(0);
		expect(api.called.at(-1)).toBe("sessionDeleteCurrent");
		expect(await Bun.file(path).exists()).toBe(false);
		expect((await cli("logout", { io: fakeIo({ homeDir }) })).code).toBe(1);
	});

	test("asks for the password without echo, and only once the certificate is known to be right", async () => {
		const api = server();
		const homeDir = folder();
		const io = fakeIo({ homeDir, tty: true });
		const running = cli(["login", "--server", api.url, "--username", "admin", "--fingerprint", own.fingerprint], {
			io,
		});
		await io.until(({ err }) => err.includes("Password of admin"));
		expect(io.rawModes).toEqual([true]);
		io.feed("wrong\u0015correct horze\u007f\u007fse batterü\u007fy\r");
		expect((await running).code).toBe(0);
		expect(io.rawModes).toEqual([true, false]);
		expect(io.err + io.out).not.toContain("correct");
		expect(api.requests.at(-1)?.json).toEqual({ username: "admin", password: secret });

		const wrong = fakeIo({ homeDir: folder(), tty: true });
		wrong.feed(`${secret}\r`);
		const refused = await cli(
			["login", "--server", api.url, "--username", "admin", "--fingerprint", other.fingerprint],
			{ io: wrong },
		);
		expect(refused.code).toBe(1);
		expect(refused.err).not.toContain("Password of");
	});

	test("Ctrl-C at the question ends it, with the terminal as it was", async () => {
		const api = server();
		const io = fakeIo({ homeDir: folder(), tty: true });
		io.feed("abc\u0003");
		const { code } = await cli(["login", "--server", api.url, "-u", "admin", "--fingerprint", own.fingerprint], { io });
		expect({ code, rawModes: io.rawModes }).toEqual({ code: 130, rawModes: [true, false] });
		expect(api.called).not.toContain("sessionCreate");
	});

	test("a stored token that others can read is not used", async () => {
		const homeDir = folder();
		const config = join(homeDir, ".config");
		const { writeLogins, loginsPath } = await import("./stored-logins.ts");
		const path = loginsPath({}, homeDir);
		expect(path.startsWith(config)).toBe(true);
		const api = server();
		const login = { token, userName: "admin", expiresAt: "", fingerprint: null, cacert: null };
		writeLogins(path, { current: api.url, servers: { [api.url]: login } }, fakeIo().random);
		(await import("node:fs")).chmodSync(path, 0o644);
		const { code, err } = await cli("vm list", { io: fakeIo({ homeDir }) });
		expect({ code, said: err.includes("chmod 600") }).toEqual({ code: 1, said: true });
		expect(api.requests).toEqual([]);
		(await import("node:fs")).chmodSync(path, 0o600);
		writeFileSync(path, "{");
		expect((await cli("vm list", { io: fakeIo({ homeDir }) })).code).toBe(1);
	});
});
