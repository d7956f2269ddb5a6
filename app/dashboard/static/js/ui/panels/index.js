import { lazy } from "../lazy.js";
import { FindingPanel } from "./finding.js";

/**
 * The panels at the side, by the parameter of the address that opens them: `?finding=ID`. Each is a component with the
 * properties `id`, `name` (of the parameter), `dashboard`, `state`, `actions`, `address`; its root is a `SidePanel`
 * (panels/host.js).
 */
export const PANELS = {
  finding: FindingPanel,
  payment: FindingPanel,
  agent: lazy(() => import("./agent.js").then(({ AgentPanel }) => AgentPanel)),
  reserved: lazy(() => import("./reserved.js").then(({ ReservedPanel }) => ReservedPanel)),
};
