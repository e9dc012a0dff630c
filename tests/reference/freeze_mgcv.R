# Fits of mgcv to the cases that `freeze_mgcv.py` writes; called by it, with their folder as argument.
suppressMessages(library(mgcv))
library(splines)

folder <- commandArgs(trailingOnly = TRUE)[1]
cases <- read.csv(file.path(folder, "cases.csv"), stringsAsFactors = FALSE)
control <- gam.control(scalePenalty = FALSE, epsilon = 1e-13, newton = list(conv.tol = 1e-10, maxNstep = 5,
                       maxSstep = 2, maxHalf = 60, use.svd = FALSE))

for (i in seq_len(nrow(cases))) {
  case <- cases[i, ]
  data <- read.csv(file.path(folder, paste0(case$case, "_data.csv")))
  new <- read.csv(file.path(folder, paste0(case$case, "_test.csv")))
  k <- case$n_splines
  low <- min(data$x)
  step <- (max(data$x) - low) / (k - 3)
  knots <- low + step * (-3:k)
  given <- if (is.na(case$lam)) NULL else case$lam
  family <- eval(parse(text = case$family))
  # the unbiased risk estimate has two minima for the counts; from here, mgcv finds the lower one
  start <- if (case$method == "GCV.Cp" && is.null(given)) list(sp = 1, scale = 0) else NULL
  if (case$penalties == "derivative") {
    fit <- gam(y ~ s(x, bs = "ps", k = k, m = c(2, 2)), knots = list(x = knots), data = data, family = family,
               weights = data$w, sp = given, method = case$method,
               control = control, in.out = start)
    said <- predict(fit, new, se.fit = TRUE)
  } else {
    # the same basis as a matrix, with the sum of both penalties
    inside <- function(x) pmin(pmax(x, low), low + (max(data$x) - low) * (1 - 1e-15))
    B <- splineDesign(knots, inside(data$x), 4, outer.ok = TRUE)
    T <- splineDesign(knots, inside(new$x), 4, outer.ok = TRUE)
    D <- diff(diag(k), differences = 2)
    S <- crossprod(D) + diag(k) - 1 / k
    y <- data$y
    penalty <- list(B = if (is.null(given)) list(S, rank = k - 1) else list(S, rank = k - 1, sp = given))
    fit <- gam(y ~ B - 1, paraPen = penalty, family = family, weights = data$w, method = case$method,
               control = control, in.out = start)
    said <- predict(fit, list(B = T), se.fit = TRUE)
  }
  sp <- if (is.null(given)) fit$sp[1] else given
  write.csv(data.frame(eta = said$fit, se = said$se.fit), row.names = FALSE,
            file = file.path(folder, paste0(case$case, "_out.csv")))
  write.csv(data.frame(lam = sp, edf = sum(fit$edf), scale = fit$sig2), row.names = FALSE,
            file = file.path(folder, paste0(case$case, "_numbers.csv")))
}
write.csv(data.frame(R = R.version.string, mgcv = as.character(packageVersion("mgcv"))), row.names = FALSE,
          file = file.path(folder, "versions.csv"))
