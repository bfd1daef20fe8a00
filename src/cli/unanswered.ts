/** Lists that all nodes give together come without those that did not answer: that is said. */
import type { Cli } from "./cli.ts";

export async function warnOfUnanswered(
	cli: Cli,
	unanswered: readonly { nodeName: string; message: string }[] | undefined,
): Promise<void> {
	for (const { nodeName, message } of unanswered ?? [])
		await cli.note(`Without what the node ${nodeName} has, which did not answer: ${message}`);
}
