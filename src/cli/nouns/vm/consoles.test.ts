/** Consoles: the serial one in this terminal, and the screen in a VNC viewer. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type FakeApi, fakeApi, page, problem } from "../../../testing/cli/fake-api.ts";
import { fakeIo } from "../../../testing/cli/fake-io.ts";
import { cli } from "../../../testing/cli/run-cli.ts";
import { fixtureVm } from "../../../testing/fixtures.ts";

let folder: string;
let api: FakeApi;
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "lqx-cli-"));
	api = fakeApi({ runDir: folder }, { vmList: () => page(fixtureVm({ name: "web" })) });
});
afterEach(async () => {
	await api.stop();
	rmSync(folder, { recursive: true, force: true });
});
const here = (words: string, options: Parameters<typeof cli>[1] = {}) =>
	cli([...words.split(" "), "--run-dir", folder], options);
const sent = (operation: string) => api.requests.findLast((request) => request.operation === operation);

const ticketAnswer = (viewOnly = false) =>
	Response.json({
		ticket: "abc",
		expiresAt: "2030-01-01T00:00:00Z",
		path: "/v1/console",
		protocols: ["binary", "lqx.ticket.abc"],
		viewOnly,
	});

describe("vm console", () => {
	beforeEach(() => {
		api.handlers.vmConsoleTicketCreate = () => ticketAnswer();
	});

	test("carries both ways, and leaves at Ctrl-] with the terminal as it was", async () => {
		const typed: string[] = [];
		api.onSocket = (socket, message) => {
			if (message === null) socket.send(Buffer.from("login: "));
			else {
				typed.push(Buffer.from(message).toString("latin1"));
				socket.send(message);
			}
		};
		const io = fakeIo({ tty: true });
		const running = here("vm console web", { io });
		await io.until(({ out }) => out === "login: ");
		expect(io.rawModes).toEqual([true]);
		io.feed("root\r\u0003\u001b[A");
		await io.until(({ out }) => out === "login: root\r\u0003\u001b[A");
		io.feed("x\u001dy");
		expect((await running).code).toBe(0);
		expect(io.rawModes).toEqual([true, false]);
		expect(typed.join("")).toBe("root\r\u0003\u001b[Ax");
		expect(sent("vmConsoleTicketCreate")?.json).toEqual({ kind: "native", type: "serial" });
	});

	test("ends when the node closes it, and says why, whoever still has nothing typed", async () => {
		api.onSocket = (socket) => socket.close(1008, "The session has ended.");
		const { code, err } = await here("vm console web", { io: fakeIo({ tty: true }) });
		expect({ code, said: err.includes("The console was closed: The session has ended.") }).toEqual({
			code: 3,
			said: true,
		});
	});

	test("types what a pipe says, and goes on listening behind its end", async () => {
		const io = fakeIo();
		const heard: string[] = [];
		api.onSocket = (socket, message) => {
			if (message === null) return;
			heard.push(Buffer.from(message).toString());
			socket.send(Buffer.from("answer"));
			socket.close(1000, "");
		};
		io.feed("uname\n");
		io.endInput();
		const { code } = await here("vm console web", { io });
		expect({ code, out: io.out, heard }).toEqual({ code: 0, out: "answer", heard: ["uname\n"] });
	});

	test("types nothing when it is only looked at", async () => {
		api.handlers.vmConsoleTicketCreate = () => ticketAnswer(true);
		let messages = 0;
		api.onSocket = (socket, message) => {
			if (message === null) socket.send(Buffer.from("hello"));
			else messages += 1;
		};
		const io = fakeIo({ tty: true });
		const running = here("vm console web --view-only", { io });
		await io.until(({ out }) => out === "hello");
		io.feed("rm -rf /\r");
		io.feed("\u001d");
		expect((await running).code).toBe(0);
		expect(messages).toBe(0);
	});

	test("a VM that is off is an error, and the terminal stays as it is", async () => {
		api.handlers.vmConsoleTicketCreate = () => problem(409, "wrong-state", "A VM that is stopped cannot be shown.");
		const io = fakeIo({ tty: true });
		expect((await here("vm console web", { io })).code).toBe(1);
		expect(io.rawModes).toEqual([]);
	});
});

describe("vm vnc", () => {
	const answers = (port: number, say: string): Promise<string> =>
		new Promise((resolve, reject) => {
			let heard = "";
			const viewer = connect(port, "127.0.0.1", () => viewer.write(say));
			viewer.on("data", (data: Buffer) => {
				heard += data.toString("latin1");
				if (heard.endsWith("!")) viewer.end();
			});
			viewer.on("close", () => resolve(heard));
			viewer.on("error", reject);
		});
	const portOf = (out: string) => Number(/127\.0\.0\.1:(\d+)/.exec(out)?.[1]);

	beforeEach(() => {
		api.handlers.vmConsoleTicketCreate = () => ticketAnswer();
		api.onSocket = (socket, message) => {
			if (message === null) socket.send(Buffer.from("RFB 003.008\n"));
			else socket.send(Buffer.from(`${Buffer.from(message).toString("latin1")}!`));
		};
	});

	test("carries each viewer over a ticket of its own, until Ctrl-C", async () => {
		const io = fakeIo();
		const running = here("vm vnc web", { io });
		await io.until(({ out }) => out.includes("\n"));
		const port = portOf(io.out);
		expect(await answers(port, "one")).toBe("RFB 003.008\none!");
		expect(await answers(port, "two")).toBe("RFB 003.008\ntwo!");
		expect(api.called.filter((operation) => operation === "vmConsoleTicketCreate")).toHaveLength(3);
		expect(sent("vmConsoleTicketCreate")?.json).toEqual({ kind: "native", type: "vnc" });
		io.interrupt();
		expect((await running).code).toBe(0);
		await expect(answers(port, "three")).rejects.toThrow();
	});

	test("ends after the first viewer with --once", async () => {
		const io = fakeIo();
		const running = here("vm vnc web --once --view-only -o json", { io });
		await io.until(({ out }) => out.includes("\n"));
		expect(await answers(JSON.parse(io.out).port, "x")).toBe("RFB 003.008\nx!");
		expect((await running).code).toBe(0);
		expect(sent("vmConsoleTicketCreate")?.json).toEqual({ kind: "native", type: "vnc", viewOnly: true });
	});

	test("prints a ticket with --ticket", async () => {
		const { code, out } = await here("vm vnc web --ticket -o json");
		expect({ code, ticket: JSON.parse(out).ticket }).toEqual({ code: 0, ticket: "abc" });
	});

	test("a port that is taken is an error", async () => {
		const other = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
		try {
			const { code, err } = await here(`vm vnc web --port ${other.port}`);
			expect({ code, said: err.includes("cannot be opened") }).toEqual({ code: 3, said: true });
		} finally {
			other.stop(true);
		}
	});
});
