/** The handle of the load client's process (load-client.ts). */
import { join } from "node:path";
import type { Answers, CallAnswer, Exchange, Order } from "./exchange.ts";

export type LoadClient = {
	order<K extends Order["kind"]>(order: Extract<Order, { kind: K }>): Promise<Answers[K]>;
	/** One request; any answer is one. */
	call(exchange: Exchange, timeoutMs?: number): Promise<CallAnswer>;
	stop(): Promise<void>;
};

type Waiting = { resolve(answer: never): void; reject(error: Error): void };

/** @param prefix see Network */
export function startLoadClient(prefix: readonly string[]): LoadClient {
	const child = Bun.spawn([...prefix, process.execPath, join(import.meta.dir, "load-client.ts")], {
		stdin: "pipe",
		stdout: "pipe",
		stderr: "inherit",
		env: { ...process.env, NODE_TLS_REJECT_UNAUTHORIZED: "0", NODE_NO_WARNINGS: "1" },
	});
	const waiting = new Map<number, Waiting>();
	let ids = 0;
	const read = async () => {
		let rest = "";
		const decoder = new TextDecoder();
		for await (const chunk of child.stdout) {
			const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
			rest = lines.pop() ?? "";
			for (const line of lines) {
				const { id, answer, error } = JSON.parse(line) as { id: number; answer: never; error?: string };
				const one = waiting.get(id);
				waiting.delete(id);
				if (error === undefined) one?.resolve(answer);
				else one?.reject(new Error(error));
			}
		}
		for (const one of waiting.values()) one.reject(new Error("The load client ended."));
		waiting.clear();
	};
	const ended = read();
	const order: LoadClient["order"] = (one) =>
		new Promise((resolve, reject) => {
			ids += 1;
			waiting.set(ids, { resolve, reject });
			child.stdin.write(`${JSON.stringify({ id: ids, order: one })}\n`);
			child.stdin.flush();
		});
	return {
		order,
		call: (exchange, timeoutMs = 5_000) => order({ kind: "call", exchange, timeoutMs }),
		async stop() {
			child.kill("SIGKILL");
			await Promise.all([child.exited, ended]);
		},
	};
}
