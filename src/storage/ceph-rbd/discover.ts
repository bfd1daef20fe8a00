/** What a cluster offers to the form of a new pool: its pools for RBD, their namespaces, and erasure-coded pools for the data. */
import { mkdirSync } from "node:fs";
import { AppError } from "../../lib/errors.ts";
import type { CephRbdPoolConfig, PoolCredentials } from "../../model/pool-config.ts";
import type { StorageContext } from "../registry.ts";
import { discoveryFolder } from "../trial-names.ts";
import { NamespacesAnswer, PoolsAnswer, readAnswer } from "./answers.ts";
import { errno, errnoOfCeph } from "./ceph-error.ts";
import { clientFiles, removeClientFiles, writeClientFiles } from "./client-files.ts";
import { CephRunner } from "./runner.ts";

export type FoundCephPool = {
	name: string;
	/** Names of its namespaces; empty too when the user may not list them. */
	namespaces: string[];
	/** For the data only: what describes the images needs a replicated pool. */
	erasureCoded: boolean;
};

const erasureType = 3;

/** Pools with the application rbd. Fails with `storage` or `timeout` within seconds, like `probe`; leaves nothing. */
export async function discoverCephPools(
	{ monitors, user }: Pick<CephRbdPoolConfig, "monitors" | "user">,
	{ cephKey }: PoolCredentials,
	context: Pick<StorageContext, "runFolder" | "random">,
): Promise<FoundCephPool[]> {
	if (!cephKey) throw new AppError("invalid", "The key of the Ceph user is needed to look at the cluster.");
	const files = clientFiles(discoveryFolder(context.runFolder, context.random), user);
	const runner = new CephRunner(files, { cephPool: "", namespace: null, dataPool: null });
	try {
		mkdirSync(context.runFolder, { recursive: true });
		writeClientFiles(files, { monitors, user, key: cephKey });
		const text = await runner.ceph(["osd", "pool", "ls", "detail", "--format", "json"]);
		const pools = readAnswer(PoolsAnswer, text, "ceph osd pool ls").filter((pool) => pool.application_metadata?.rbd);
		return await Promise.all(
			pools.map(async ({ pool_name, type }) => ({
				name: pool_name,
				namespaces: type === erasureType ? [] : await namespaces(runner, pool_name),
				erasureCoded: type === erasureType,
			})),
		);
	} finally {
		removeClientFiles(files);
	}
}

async function namespaces(runner: CephRunner, pool: string): Promise<string[]> {
	try {
		const text = await runner.rbd(["namespace", "ls", "--format", "json", "--pool", pool]);
		return readAnswer(NamespacesAnswer, text, "rbd namespace ls").map(({ name }) => name);
	} catch (error) {
		if (errnoOfCeph(error) === errno.accessDenied || errnoOfCeph(error) === 1) return [];
		throw error;
	}
}
