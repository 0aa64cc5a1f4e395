//! What Dialback promises on every runtime: the same cases on each, over real loopback sockets.
//!
//! They check that the wiring holds: readiness, deadlines, shutdown, TLS. What the protocol decides is tested
//! under virtual time in `core` and `harness`. A runtime joins with one line, at the end.

mod data;
mod dialer;
mod drain;
mod reconnect;
mod runtime;
mod runtimes;
mod stalls;
mod stop;
mod tls;

use dialback_runtime::server::FrontendMode;
use dialback_tests::world::run_on;

/// What frontends speak, and whether the two halves speak plain Konnectivity with each other.
const KINDS: [(FrontendMode, bool); 4] = [
    (FrontendMode::HttpConnect, false),
    (FrontendMode::HttpConnect, true),
    (FrontendMode::Grpc, false),
    (FrontendMode::Grpc, true),
];

/// The list. A case is an `async fn` over `&World<R>` for any runtime `R`.
macro_rules! on_every_runtime {
    ($($start:ident => $on_runtime:ident,)+) => {$(
        mod $on_runtime {
            use super::*;

            contract! { $start:
                runtime::a_task_runs_on_without_its_handle,
                runtime::an_aborted_task_is_dropped,
                runtime::a_timer_fires_at_its_deadline,
                runtime::a_timer_that_is_moved_forgets_the_old_deadline,
                runtime::a_timer_can_be_used_again,
                runtime::both_ends_know_each_others_address,
                runtime::tcp_closes_one_direction_at_a_time,
                runtime::tcp_writes_are_vectored,
                runtime::tcp_options_are_set,
                runtime::a_full_socket_takes_more_once_it_is_read,
                runtime::a_close_can_be_a_reset,
                runtime::a_refused_connection_keeps_its_kind,
                runtime::an_accept_that_is_given_up_loses_no_connection,
                runtime::unix_sockets_are_reached_by_their_path,
                runtime::abstract_unix_sockets_are_reached_by_a_leading_nul,
                runtime::addresses_resolve_to_themselves,
                runtime::names_are_looked_up,
                runtime::http_is_answered,
                data::bytes_come_back_from_an_echo,
                data::everything_before_the_endpoints_end_is_delivered,
                data::everything_before_the_frontends_end_is_delivered,
                data::many_streams_keep_their_bytes_apart,
                data::failed_dials_are_told,
                data::a_dial_that_hangs_times_out,
                dialer::bytes_go_through_a_dialer_and_come_back,
                dialer::an_endpoint_answers_after_the_frontends_end,
                stalls::a_frontend_that_reads_nothing_stalls_only_itself,
                stalls::an_endpoint_that_reads_nothing_stalls_only_itself,
                drain::a_draining_agent_keeps_its_streams_and_gets_no_new_ones,
                drain::a_stopping_server_lets_its_streams_finish,
                tls::frontends_are_served_over_tls,
                tls::a_frontend_without_a_certificate_is_refused,
                tls::an_agent_without_a_certificate_is_refused,
                tls::an_agent_trusts_no_server_of_another_authority,
                reconnect::a_tunnel_that_is_cut_ends_its_streams_and_is_replaced,
                reconnect::streams_go_on_over_the_next_connection,
                reconnect::an_agent_finds_a_server_that_starts_later,
                stop::nothing_is_left_of_what_stops_while_idle,
                stop::nothing_is_left_of_what_stops_in_the_middle,
            }
        }
    )+};
}

macro_rules! contract {
    ($start:ident: $($module:ident::$case:ident,)+) => {$(
        #[test]
        fn $case() {
            run_on(runtimes::$start, $module::$case);
        }
    )+};
}

on_every_runtime! {
    tokio => on_tokio,
    smol => on_smol,
    async_std => on_async_std,
}
