/**
 * One node of a shared pool, as a process in namespaces of its own: does what it is told in its argument (JSON), one thing after the
 * other, and prints what came of each.
 */
import { systemClock } from "../../../lib/clock.ts";
import { toAppError } from "../../../lib/errors.ts";
import { silentLogger } from "../../../lib/log.ts";
import { systemRandom } from "../../../lib/random.ts";
import type { IscsiLvmPoolConfig } from "../../../model/pool-config.ts";
import { createIscsiLvmDriver } from "../create.ts";

export type NodeOrders = {
	poolId: string;
	nodeId: string;
	folder: string;
	config: IscsiLvmPoolConfig;
	/** How long `remove` waits for the other node; default: as usual. */
	othersLeaveMs?: number;
	/** Method of the driver, or of its snapshots ("snapshots.take"), and its arguments. */
	calls: [string, ...unknown[]][];
};
export type NodeAnswer = { call: string; ms: number; error: string | null; value: unknown };

if (import.meta.main) {
	const orders: NodeOrders = JSON.parse(process.argv[2] ?? "");
	const { poolId, nodeId, folder, config, othersLeaveMs } = orders;
	const driver = createIscsiLvmDriver({
		...{ poolId, nodeId, config, credentials: null, wasReady: false, protectedPaths: [] },
		...{ runFolder: `${folder}/run`, stagingFolder: `${folder}/staging` },
		...{ random: systemRandom, clock: systemClock, log: silentLogger },
		...(othersLeaveMs === undefined ? {} : { othersLeaveMs }),
	});
	const answers: NodeAnswer[] = [];
	for (const [call, ...args] of orders.calls) {
		const started = performance.now();
		const [of, name] = call.startsWith("snapshots.") ? [driver.snapshots, call.slice(10)] : [driver, call];
		const method: unknown = Reflect.get(of, name);
		if (typeof method !== "function") throw new Error(`no method ${call}`);
		try {
			const value: unknown = await Reflect.apply(method, of, args);
			answers.push({ call, ms: Math.round(performance.now() - started), error: null, value });
		} catch (error) {
			const { code, message, context } = toAppError(error);
			const said = typeof context.stderr === "string" ? ` (${context.stderr.trim()})` : "";
			answers.push({
				call,
				ms: Math.round(performance.now() - started),
				error: `${code}: ${message}${said}`,
				value: null,
			});
		}
	}
	await Bun.write(Bun.stdout, `${JSON.stringify(answers)}\n`);
	process.exit(0);
}
