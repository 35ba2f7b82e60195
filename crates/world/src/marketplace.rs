//! Commands on marketplaces and their appliances.

use std::sync::Arc;

use plerion_model::image::{Image, ImageState};
use plerion_model::marketplace::{MarketState, Marketplace};
use plerion_model::marketplaceapp::{AppState, AppType, MarketplaceApp, VERSION_DEFAULT};
use plerion_model::{ApiError, Id, Kind, Operation, zone};
use plerion_template::{PackedTemplate, Template};

use crate::auth::{Caller, Target, require};
use crate::index::members;
use crate::name::name_check_new;
use crate::owner::owned_new;
use crate::txn::Txn;
use crate::world::World;

/// What can be asked of marketplaces and appliances beyond what all kinds have in common.
#[derive(Clone, Debug)]
pub enum MarketCommand {
    /// `one.market.allocate`.
    Allocate {
        /// Attributes.
        template: Template,
    },
    /// `one.market.enable`.
    Enable {
        /// Marketplace.
        id: Id,
        /// Or disable.
        enable: bool,
    },
    /// `one.marketapp.allocate`.
    AppAllocate {
        /// Attributes.
        template: Template,
        /// Marketplace.
        market: Id,
    },
    /// `one.marketapp.enable`.
    AppEnable {
        /// Appliance.
        id: Id,
        /// Or disable.
        enable: bool,
    },
}

/// A driver of marketplaces.
struct Driver {
    name: &'static str,
    /// Attributes that its marketplaces must have.
    required: &'static [&'static str],
    /// Whether appliances can be put there (otherwise its catalogue is all there is).
    create: bool,
}

/// The known drivers (the facts' MARKET_MAD_CONF).
const DRIVERS: &[Driver] = &[
    Driver {
        name: "dummy",
        required: &[],
        create: true,
    },
    Driver {
        name: "http",
        required: &["BASE_URL", "PUBLIC_DIR"],
        create: true,
    },
    Driver {
        name: "linuxcontainers",
        required: &[],
        create: false,
    },
    Driver {
        name: "one",
        required: &[],
        create: false,
    },
    Driver {
        name: "s3",
        required: &["ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "REGION", "BUCKET"],
        create: true,
    },
];

/// Attributes of an appliance that are fields of it.
const APP_FIELDS: &[&str] = &[
    "FORMAT",
    "MARKETPLACE",
    "MARKETPLACE_ID",
    "MD5",
    "NAME",
    "ORIGIN_ID",
    "SIZE",
    "SOURCE",
    "TYPE",
    "ZONE_ID",
];

/// Carries a command out. Answers the id of the object.
pub(crate) fn market_command(
    txn: &mut Txn<'_>,
    caller: &Caller,
    command: &MarketCommand,
) -> Result<Id, ApiError> {
    match command {
        MarketCommand::Allocate { template } => allocate(txn, caller, template),
        MarketCommand::Enable { id, enable } => self::enable(txn, caller, *id, *enable),
        MarketCommand::AppAllocate { template, market } => app_allocate(txn, caller, template, *market),
        MarketCommand::AppEnable { id, enable } => app_enable(txn, caller, *id, *enable),
    }
}

fn driver(name: &str) -> Option<&'static Driver> {
    DRIVERS.iter().find(|driver| driver.name == name)
}

fn driver_check(template: &Template) -> Result<String, String> {
    let name = template.get("MARKET_MAD").unwrap_or_default();
    if name.is_empty() {
        return Err("No MARKET_MAD in template.".into());
    }
    let Some(driver) = driver(name) else {
        let known: Vec<&str> = DRIVERS.iter().map(|driver| driver.name).collect();
        return Err(format!(
            "There is no marketplace driver {name}: use one of {}.",
            known.join(", ")
        ));
    };
    match driver
        .required
        .iter()
        .find(|name| template.get(name).is_none_or(str::is_empty))
    {
        Some(missing) => Err(format!(
            "A marketplace of the driver {name} needs the attribute {missing}."
        )),
        None => Ok(name.to_owned()),
    }
}

fn allocate(txn: &mut Txn<'_>, caller: &Caller, template: &Template) -> Result<Id, ApiError> {
    let right = (Operation::Create, Target::new_of(Kind::Marketplace));
    require(&txn.world, caller, &[right])?;
    let mut template = template.clone();
    let name = template.get("NAME").unwrap_or_default().to_owned();
    template.remove("NAME");
    name_check_new(&txn.world, Kind::Marketplace, -1, &name)?;
    let market_mad =
        driver_check(&template).map_err(|reason| ApiError::allocate(Kind::Marketplace, &reason))?;
    let id = txn.id_next(Kind::Marketplace);
    txn.create(Marketplace {
        id,
        name,
        owned: owned_new(&txn.world, caller),
        state: MarketState::Enabled,
        market_mad,
        zone_id: zone::LOCAL,
        template: PackedTemplate::new(&template),
    });
    Ok(id)
}

/// The driver stays when an update does not name one, and while there are appliances.
pub(crate) fn market_updated(
    world: &World,
    market: &mut Marketplace,
    mut new: Template,
) -> Result<(), ApiError> {
    new.remove("NAME");
    new.set_if_missing("MARKET_MAD", market.market_mad.clone());
    let market_mad = driver_check(&new).map_err(ApiError::internal)?;
    if market_mad != market.market_mad && !members(&world.index.market_apps, market.id).is_empty() {
        return Err(ApiError::action(
            "The driver of a marketplace that holds appliances cannot be changed: delete them first",
        ));
    }
    market.market_mad = market_mad;
    market.template = PackedTemplate::new(&new);
    Ok(())
}

/// Deletes a marketplace. What a catalogue listed goes with it; own appliances have to be deleted first (recorded).
pub(crate) fn market_delete(txn: &mut Txn<'_>, id: Id) -> Result<(), ApiError> {
    let market = txn.world.marketplace(id)?;
    let listed = driver(&market.market_mad).is_some_and(|driver| !driver.create);
    let apps = members(&txn.world.index.market_apps, id);
    if !listed && !apps.is_empty() {
        return Err(ApiError::action(format!(
            "Marketplace {id} is not empty: delete its {} appliances first",
            apps.len()
        )));
    }
    for app in apps {
        txn.delete(Kind::MarketplaceApp, app);
    }
    txn.delete(Kind::Marketplace, id);
    Ok(())
}

/// A catalogue is forgotten while its marketplace is disabled; own appliances stay.
fn enable(txn: &mut Txn<'_>, caller: &Caller, id: Id, enable: bool) -> Result<Id, ApiError> {
    let target = Target::of(&txn.world, Kind::Marketplace, id)?;
    require(&txn.world, caller, &[(Operation::Manage, target)])?;
    let mut market = txn.world.marketplace(id)?.clone();
    let listed = driver(&market.market_mad).is_some_and(|driver| !driver.create);
    if !enable && listed {
        for app in members(&txn.world.index.market_apps, id) {
            txn.delete(Kind::MarketplaceApp, app);
        }
    }
    Arc::make_mut(&mut market).state = if enable {
        MarketState::Enabled
    } else {
        MarketState::Disabled
    };
    txn.update(market);
    Ok(id)
}

fn app_refused(reason: &str) -> ApiError {
    ApiError::allocate(Kind::MarketplaceApp, reason)
}

/// What an appliance is made of.
struct Origin {
    id: Id,
    right: (Operation, Target),
    size_mib: u64,
    format: String,
}

fn origin(world: &World, kind: AppType, template: &Template) -> Result<Origin, ApiError> {
    let text = template.get("ORIGIN_ID").unwrap_or_default();
    let Ok(id) = text.parse::<Id>() else {
        return Err(app_refused(
            "Missing ORIGIN_ID: the id of the image or template that it is made of.",
        ));
    };
    let source = match kind {
        AppType::Image => Kind::Image,
        AppType::VmTemplate => Kind::Template,
        AppType::ServiceTemplate => Kind::Document,
        AppType::Unknown => return Err(app_refused("Unknown TYPE.")),
    };
    let right = (Operation::Use, Target::of(world, source, id)?);
    let image = (kind == AppType::Image).then(|| world.image(id)).transpose()?;
    if let Some(image) = image.filter(|image| !can_leave(image)) {
        return Err(app_refused(&format!(
            "Image {id} is in state {}: it has to be READY.",
            image.state.as_str()
        )));
    }
    Ok(Origin {
        id,
        right,
        size_mib: image.map_or(0, |image| image.size_mib),
        format: image.map_or_else(String::new, |image| image.format.clone()),
    })
}

fn can_leave(image: &Image) -> bool {
    image.state == ImageState::Ready
}

fn app_allocate(txn: &mut Txn<'_>, caller: &Caller, template: &Template, market: Id) -> Result<Id, ApiError> {
    let mut rights = vec![
        (Operation::Create, Target::new_of(Kind::MarketplaceApp)),
        (Operation::Use, Target::of(&txn.world, Kind::Marketplace, market)?),
    ];
    require(&txn.world, caller, &rights)?;
    let place = txn.world.marketplace(market)?.clone();
    app_accepted(&place)?;
    let kind = match template.get("TYPE").filter(|text| !text.is_empty()) {
        None => AppType::Image,
        Some(text) => AppType::from_name(text)
            .filter(|kind| *kind != AppType::Unknown)
            .ok_or_else(|| {
                app_refused(&format!(
                    "Unknown TYPE {text}: it is IMAGE, VMTEMPLATE or SERVICE_TEMPLATE."
                ))
            })?,
    };
    let origin = origin(&txn.world, kind, template)?;
    rights.push(origin.right.clone());
    require(&txn.world, caller, &rights)?;
    let name = template.get("NAME").unwrap_or_default().to_owned();
    name_check_new(&txn.world, Kind::MarketplaceApp, caller.uid, &name)?;
    let mut template = template.clone();
    for field in APP_FIELDS {
        template.remove(field);
    }
    template.set_if_missing("VERSION", VERSION_DEFAULT);
    let id = txn.id_next(Kind::MarketplaceApp);
    txn.create(MarketplaceApp {
        id,
        name,
        owned: owned_new(&txn.world, caller),
        // The dummy driver has nothing to copy, and templates have no file: there is nothing to wait for.
        state: AppState::Ready,
        kind,
        regtime: txn.context.now,
        zone_id: zone::LOCAL,
        origin_id: origin.id,
        market_id: market,
        source: if kind == AppType::Image {
            "dummy_path".into()
        } else {
            String::new()
        },
        md5: String::new(),
        size_mib: origin.size_mib,
        format: origin.format,
        template: PackedTemplate::new(&template),
    });
    Ok(id)
}

/// Refuses appliances where they cannot be put.
fn app_accepted(market: &Marketplace) -> Result<(), ApiError> {
    if market.state == MarketState::Disabled {
        return Err(ApiError::action(format!(
            "Marketplace {} is disabled: enable it first",
            market.id
        )));
    }
    if driver(&market.market_mad).is_none_or(|driver| !driver.create) {
        return Err(ApiError::action(format!(
            "Marketplace {} lists the appliances of others: create is not supported by its driver {}",
            market.id, market.market_mad
        )));
    }
    if market.market_mad != "dummy" {
        return Err(ApiError::action(format!(
            "The marketplace driver {} cannot take files yet: only dummy marketplaces take appliances",
            market.market_mad
        )));
    }
    Ok(())
}

/// The fields of an appliance are no attributes of its template.
pub(crate) fn app_updated(app: &mut MarketplaceApp, mut new: Template) {
    for field in APP_FIELDS {
        new.remove(field);
    }
    new.set_if_missing("VERSION", VERSION_DEFAULT);
    app.template = PackedTemplate::new(&new);
}

/// Deletes an appliance where its marketplace allows it.
pub(crate) fn app_delete(txn: &mut Txn<'_>, id: Id) -> Result<(), ApiError> {
    let app = txn.world.marketplaceapp(id)?;
    let market = txn.world.marketplaces.get(app.market_id);
    if let Some(market) = market
        && driver(&market.market_mad).is_none_or(|driver| !driver.create)
    {
        return Err(ApiError::action(format!(
            "Appliance {id} is listed by marketplace {}: delete is not supported by its driver {}",
            market.id, market.market_mad
        )));
    }
    txn.delete(Kind::MarketplaceApp, id);
    Ok(())
}

fn app_enable(txn: &mut Txn<'_>, caller: &Caller, id: Id, enable: bool) -> Result<Id, ApiError> {
    let target = Target::of(&txn.world, Kind::MarketplaceApp, id)?;
    require(&txn.world, caller, &[(Operation::Manage, target)])?;
    let mut app = txn.world.marketplaceapp(id)?.clone();
    let state = match (app.state, enable) {
        (AppState::Ready | AppState::Disabled | AppState::Error, true) => AppState::Ready,
        (AppState::Ready | AppState::Disabled | AppState::Error, false) => AppState::Disabled,
        (AppState::Init | AppState::Locked, _) => {
            return Err(ApiError::action(format!(
                "Appliance {id} is in state {}: wait until it is READY",
                app.state.as_str()
            )));
        }
    };
    Arc::make_mut(&mut app).state = state;
    txn.update(app);
    Ok(id)
}
