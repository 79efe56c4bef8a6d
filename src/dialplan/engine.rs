//! A Rhai engine as every script gets it: one per call, because only then each call has a budget of its own.

use crate::limits::Limits;
use crate::{verbs, weight};
use rhai::module_resolvers::DummyModuleResolver;
use rhai::packages::{Package, StandardPackage};
use rhai::{Engine, Module, OptimizationLevel, Shared};
use std::sync::OnceLock;

/// Words that Rhai knows and a dialplan may not use.
const DISABLED: [&str; 3] = ["eval", "import", "export"];

/// An engine with the verbs and all limits, but no budget: that is the running script's.
///
/// Making one costs microseconds: the functions sit in two modules that all engines share.
pub(crate) fn engine(limits: &Limits) -> Engine {
    static STANDARD: OnceLock<Shared<Module>> = OnceLock::new();
    let mut engine = Engine::new_raw();
    engine.register_global_module(
        STANDARD
            .get_or_init(|| StandardPackage::new().as_shared_module())
            .clone(),
    );
    // Registered later, found earlier: ours shadow the package's.
    engine.register_global_module(verbs::module());
    engine.set_module_resolver(DummyModuleResolver::new());
    for word in DISABLED {
        engine.disable_symbol(word);
    }
    engine
        .set_optimization_level(OptimizationLevel::None)
        .set_strict_variables(true)
        .set_fail_on_invalid_map_property(true)
        // Every limit is set: Rhai's own differ between debug and release.
        .set_max_operations(0)
        .set_max_modules(0)
        .set_max_call_levels(limits.call_depth)
        .set_max_expr_depths(64, 32)
        .set_max_string_size(limits.string_bytes)
        .set_max_array_size(limits.array_items)
        .set_max_map_size(limits.map_entries)
        .set_max_variables(limits.variables)
        .set_max_functions(1024);
    weight::guard(&mut engine, limits);
    engine
}
