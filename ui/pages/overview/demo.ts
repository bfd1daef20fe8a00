/** The demo VM by one click: made, and its console opened. */
import { toastFailure } from "../../api/notify.ts";
import { write } from "../../api/write.ts";
import { href } from "../../routes.ts";
import { welcome as t } from "../../strings/overview.ts";

/** The image is imported first when it is not there yet: allow for that. */
const limitMs = 90_000;

export async function startDemo(route: (url: string) => void): Promise<void> {
	try {
		const { data } = await write("vmCreateDemo", { timeoutMs: limitMs });
		route(href("vm", { vmId: data.id, tab: "console" }));
	} catch (error) {
		toastFailure(t.demoFailed, error);
	}
}
