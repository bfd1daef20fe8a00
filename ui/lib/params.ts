/** Parameters of the current route, typed by the route table. */
import { useRoute } from "preact-iso";
import type { RouteName, RouteParameters } from "../routes.ts";

export const useParams = <Name extends RouteName>(): RouteParameters<Name> =>
	useRoute().params as RouteParameters<Name>;
