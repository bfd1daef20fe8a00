/**
 * Every page's address, in one typed table. `href("vm", { vmId, tab: "console" })` makes a link; app.tsx maps each
 * name to its page. A name that is missing a parameter does not compile.
 */
export const routes = {
	overview: "/",
	welcome: "/welcome",
	vms: "/vms",
	vmCreate: "/vms/new",
	vm: "/vms/:vmId/:tab?",
	storage: "/storage",
	poolCreate: "/storage/new",
	volumes: "/storage/volumes",
	pool: "/storage/pools/:poolId/:tab?",
	volume: "/storage/volumes/:volumeId",
	networks: "/networks",
	network: "/networks/:networkId/:tab?",
	images: "/images",
	image: "/images/:imageId",
	cluster: "/cluster",
	node: "/cluster/nodes/:nodeId/:tab?",
	tasks: "/tasks",
	administration: "/administration/:tab?",
	user: "/administration/users/:userId",
	token: "/administration/tokens/:tokenId",
	account: "/account",
	components: "/dev/components",
} as const;

export type RouteName = keyof typeof routes;

type ParameterOf<Segment> = Segment extends `:${infer Name}?`
	? { [K in Name]?: string }
	: Segment extends `:${infer Name}`
		? { [K in Name]: string }
		: unknown;
type ParametersOf<Path> = Path extends `${infer Head}/${infer Rest}`
	? ParameterOf<Head> & ParametersOf<Rest>
	: ParameterOf<Path>;
export type RouteParameters<Name extends RouteName> = ParametersOf<(typeof routes)[Name]>;
/** No second argument for a route without parameters. */
type Arguments<Name extends RouteName> =
	unknown extends RouteParameters<Name>
		? [parameters?: undefined, query?: Query]
		: [parameters: RouteParameters<Name>, query?: Query];
export type Query = Record<string, string | readonly string[] | undefined>;

export function href<Name extends RouteName>(name: Name, ...[parameters, query]: Arguments<Name>): string {
	const values = (parameters ?? {}) as Record<string, string | undefined>;
	const path = routes[name]
		.split("/")
		.map((segment) => {
			if (!segment.startsWith(":")) return segment;
			const value = values[segment.slice(1).replace(/\?$/, "")];
			return value === undefined ? "" : encodeURIComponent(value);
		})
		.join("/")
		.replace(/\/+$/, "");
	return `${path === "" ? "/" : path}${queryString(query)}`;
}

/** "?state=running,paused&sort=-name"; values that are undefined or empty are left out. */
export function queryString(query: Query | undefined): string {
	const parts: string[] = [];
	for (const [key, value] of Object.entries(query ?? {})) {
		const text = typeof value === "string" || value === undefined ? value : value.join(",");
		if (text) parts.push(`${encodeURIComponent(key)}=${encodeURIComponent(text).replaceAll("%2C", ",")}`);
	}
	return parts.length > 0 ? `?${parts.join("&")}` : "";
}
